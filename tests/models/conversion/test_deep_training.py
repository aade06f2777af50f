"""Any network gets deep training and series activations, and fuses exactly."""

import copy
import pickle

import pytest
import torch
from networks import (
    IMAGE,
    Net,
    conv_pair,
    count,
    shapes,
    small_alexnet,
    small_resnet,
    small_vanillanet,
)
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close
from torchvision.models import resnet50

from vanillanet_det import UserError, switch_to_deploy
from vanillanet_det.models.conversion import DeepPair, add_vanilla_training
from vanillanet_det.models.deploy import relative_error
from vanillanet_det.models.layers import SeriesActivation, set_act_lambda


@pytest.mark.parametrize(
    ("build", "deep", "pairs", "series"),
    [
        (small_alexnet, "all", 7, 5),
        (small_alexnet, "pairs", 1, 5),
        (small_resnet, "all", 9, 13),
        (small_resnet, "pairs", 4, 9),
        (resnet50, "all", 33, 49),
    ],
)
def test_networks_fuse_exactly(build, deep, pairs, series, randomize_norms):
    model, x = build().eval(), torch.randn(2, 3, 64, 64)
    deeper = randomize_norms(add_vanilla_training(model, x, deep=deep), x).eval()
    assert (count(deeper, DeepPair), count(deeper, SeriesActivation)) == (pairs, series)
    fused = switch_to_deploy(deeper)
    with torch.no_grad():
        assert relative_error([fused(x)], [deeper(x)]) < 1e-5
    layers = sorted(shapes(model))
    if deep == "all":
        assert sorted(shapes(fused)) == layers
    else:
        assert len(shapes(fused)) == len(layers) - pairs
    assert all(parameter.is_contiguous() for parameter in fused.parameters())
    fused.load_state_dict(switch_to_deploy(deeper).state_dict())
    if deep == "all":  # the layers it had, by their names; BatchNorms are folded in
        names = {name for name, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))}
        assert names <= {name for name, _ in fused.named_modules()}
        assert not any(".fused." in name for name in fused.state_dict())


def test_fusion_is_exact_to_float64(randomize_norms):
    model, x = small_resnet().double(), torch.randn(2, 3, 64, 64).double()
    deeper = randomize_norms(add_vanilla_training(model, x), x).eval()
    assert {tensor.dtype for tensor in deeper.parameters()} == {torch.float64}
    with torch.no_grad():
        assert relative_error([switch_to_deploy(deeper)(x)], [deeper(x)]) < 1e-13


@pytest.mark.parametrize("act_lambda", [0, 0.5, 1])
def test_a_deepened_network_starts_as_the_one_given(act_lambda, randomize_norms):
    model, x = randomize_norms(small_resnet()).double().eval(), torch.randn(2, 3, 64, 64).double()
    deeper = add_vanilla_training(model, x, series=False)
    assert set_act_lambda(deeper, act_lambda) == 9
    assert_close(deeper(x), model(x))


@pytest.mark.parametrize("affine", [True, False])
def test_it_starts_as_the_one_given_in_training_too(affine, randomize_norms):
    norm = nn.BatchNorm2d(4, affine=affine)
    norm = randomize_norms(norm) if affine else norm
    norm.running_mean.fill_(-3)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), norm, nn.ReLU())
    x = torch.randn(8, 3, 9, 9)
    for mode in (True, False):
        deeper = add_vanilla_training(model.train(mode), x, series=False)
        assert_close(deeper(x), copy.deepcopy(model)(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("build", "pairs"), [(small_alexnet, 1), (small_resnet, 4)])
def test_a_network_of_pairs_starts_as_the_one_given_at_lambda_0(build, pairs):
    model, x = build().eval(), torch.randn(1, 3, 64, 64)
    deeper = add_vanilla_training(model, x, deep="pairs", series=False)
    assert relative_error([deeper(x)], [model(x)]) > 1e-3
    assert set_act_lambda(deeper, 0) == pairs
    assert_close(deeper(x), model(x))


def test_untouched_modules_keep_their_names_and_the_original_is_unchanged():
    model = small_resnet()
    before = copy.deepcopy(model.state_dict())
    result = copy.deepcopy(deeper := add_vanilla_training(model, torch.zeros(1, 3, 64, 64)))
    result = result.state_dict()
    for parameter in deeper.parameters():
        nn.init.zeros_(parameter)
    assert_close(model.state_dict(), before)
    assert count(model, nn.ReLU) == 5
    # The stem's and the first two of each block; behind the third there is no ReLU at once.
    touched = ("conv1.", "bn1.", "conv2.", "bn2.")
    kept = {name for name in before if not any(part in name for part in touched)}
    assert len(kept) >= 50
    assert_close({name: result[name] for name in kept}, {name: before[name] for name in kept})
    assert {name for name in result if name.startswith("layer1.0.")} == {
        *(name for name in kept if name.startswith("layer1.0.")),
        *(
            f"layer1.0.{conv}.{name}"
            for conv in ("conv1", "conv2")
            for name in ("act_lambda", "first.0.weight", "second.0.weight", "second.0.bias")
        ),
        *(
            f"layer1.0.{norm}.{name}"
            for norm in (
                *(
                    f"{conv}.{layer}.1"
                    for conv in ("conv1", "conv2")
                    for layer in ("first", "second")
                ),
                *(f"relu_{i}.bn" for i in (1, 2, 3)),
            )
            for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        ),
        *(f"layer1.0.relu_{i}.weight" for i in (1, 2, 3)),
    }


def test_relus_without_a_neighbourhood_stay():
    def forward(net, x):
        x = net.mlp(net.relu1(x)).permute(0, 3, 1, 2)
        return net.head(net.relu2(x).flatten(1))

    mlp = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
    head = nn.Sequential(nn.Linear(192, 4), nn.ReLU())
    model = Net(forward, relu1=nn.ReLU(), relu2=nn.ReLU(), mlp=mlp, head=head)
    result = add_vanilla_training(model, IMAGE, deep=None)
    assert [type(result.get_submodule(name)) for name in ("mlp.1", "head.1")] == [nn.ReLU] * 2
    assert [result.relu1.channels, result.relu2.channels] == [3, 8]


def test_of_overlapping_pairs_the_first_is_taken():
    layers = [nn.Linear(3, 3) for _ in range(5)]
    model = nn.Sequential(*(m for layer in layers for m in (layer, nn.ReLU())))
    result = add_vanilla_training(model, torch.zeros(1, 3), deep="pairs")
    kinds = [(name, type(module)) for name, module in result.named_children()]
    assert kinds == [
        *[("0", DeepPair), ("3", nn.ReLU), ("4", DeepPair), ("7", nn.ReLU)],
        *[("8", nn.Linear), ("9", nn.ReLU)],
    ]


@pytest.mark.parametrize(
    ("layer", "deepened"),
    [
        (nn.Conv2d(4, 4, 1, stride=2), True),
        (nn.Conv2d(4, 4, 3), True),
        (nn.Conv2d(4, 4, 1, groups=2), False),
        (nn.Linear(8, 6), True),
    ],
)
def test_deep_all_takes_ungrouped_layers_in_front_of_a_relu(layer, deepened):
    model = nn.Sequential(nn.ReLU(), layer, nn.ReLU(), nn.Conv2d(4, 4, 1))
    result = add_vanilla_training(model, torch.randn(1, 4, 8, 8))
    assert count(result, DeepPair) == deepened
    assert type(result.get_submodule("3")) is nn.Conv2d
    x = torch.randn(1, 4, 8, 8)
    assert_close(switch_to_deploy(result.eval())(x), result(x), rtol=1e-5, atol=1e-5)


def test_a_batchnorm_without_statistics_can_be_deepened_but_not_fused():
    norm = nn.BatchNorm2d(4, track_running_stats=False)
    model = add_vanilla_training(nn.Sequential(nn.Conv2d(3, 4, 1), norm, nn.ReLU()), IMAGE)
    with pytest.raises(UserError, match="has no running statistics"):
        switch_to_deploy(model)


@pytest.mark.parametrize("deep", ["all", "pairs"])
def test_it_trains_and_every_parameter_gets_a_gradient(deep):
    layers = [nn.Conv2d(8, 8, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    head = [nn.Linear(32, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 4)]
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(True), *layers, *head)
    model = add_vanilla_training(model, IMAGE, act_num=1, deep=deep)
    set_act_lambda(model, 0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, target = torch.randn(16, 3, 8, 8), torch.arange(16) % 4
    losses = []
    for step in range(30):
        set_act_lambda(model, step / 29)
        loss = F.cross_entropy(model(x), target)
        optimizer.zero_grad()
        loss.backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
        losses.append(loss.item())
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]
    model.eval()
    with torch.no_grad():
        assert_close(switch_to_deploy(model)(x), model(x), rtol=1e-4, atol=1e-5)


def test_the_result_is_copied_pickled_saved_and_loaded(tmp_path):
    model = conv_pair()
    first, second = (add_vanilla_training(model, IMAGE).eval() for _ in range(2))
    set_act_lambda(first, 0.25)
    nn.init.normal_(first.get_submodule("0").first[0].weight)
    x = torch.randn(1, 3, 8, 8)
    torch.save(first.state_dict(), tmp_path / "model.pth")
    second.load_state_dict(torch.load(tmp_path / "model.pth", weights_only=True))
    for other in (second, copy.deepcopy(first), pickle.loads(pickle.dumps(first))):  # noqa: S301
        assert_close(other(x), first(x), rtol=0, atol=0)
    assert {str(t.device) for t in first.to("meta").state_dict().values()} == {"meta"}


def relu_net(*layers):
    return nn.Sequential(*layers, nn.ReLU())


@pytest.mark.parametrize(
    ("model", "kwargs", "message"),
    [
        (Net(lambda net, x: x.relu() if x.sum() > 0 else x), {}, r"can't trace Net \(symbolic"),
        (Net(lambda net, x: F.dropout(x, 0.5, net.training).relu()), {}, "use nn.Dropout"),
        (relu_net(nn.Conv2d(4, 4, 1)), {}, r"example_input of shape \(1, 3, 8, 8\) does not fit"),
        (
            relu_net(),
            dict(example_input=(IMAGE, 2)),
            r"8\), 2 does not fit .*\(too many positional",
        ),
        (relu_net(), dict(example_input="x"), "example_input 'x' does not fit Sequential"),
        (relu_net(), dict(act_num=-1), "act_num -1; expected"),
        (relu_net(), dict(deep="every"), "deep 'every'; expected 'all'"),
        (nn.Sequential(nn.ReLU6(), nn.GELU()), {}, "no ReLU found in Sequential"),
        (relu_net(), dict(series=False), "nothing to change in Sequential with series=False"),
        (relu_net(nn.Flatten()), {}, "nothing to change in Sequential with series=True"),
        (small_vanillanet(), {}, "VanillaNet already has a deployed form"),
    ],
)
def test_mistakes_get_one_sentence(model, kwargs, message, capfd):
    kwargs = {"example_input": IMAGE, **kwargs}
    with pytest.raises(UserError, match=message) as error:
        add_vanilla_training(model, **kwargs)
    assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""


def test_a_part_that_can_be_fused_already_stays():
    model = nn.Sequential(SeriesActivation(3, 1), nn.ReLU())
    result = add_vanilla_training(model, IMAGE, act_num=2)
    assert [module.act_num for module in result.children()] == [1, 2]
