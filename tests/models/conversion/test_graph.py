"""What is taken out of a recorded network and put into it."""

import pytest
import torch
from networks import IMAGE, Net, count, small_resnet
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close
from torchvision.ops import StochasticDepth

from vanillanet_det import UserError
from vanillanet_det.models.conversion import DeepPair, add_vanilla_training
from vanillanet_det.models.layers import SeriesActivation


def test_every_call_of_a_relu_gets_a_module_of_its_own():
    def forward(net, x):
        x = torch.relu(net.conv1(F.relu(x)))
        x = net.relu(net.conv2(net.relu(x))).relu()
        x = F.relu(x, inplace=True) + net.conv3(x).relu_()
        return net.last(net.relu6(x))

    layers = dict(conv1=nn.Conv2d(3, 4, 3), conv2=nn.Conv2d(4, 5, 3), conv3=nn.Conv2d(5, 5, 1))
    model = Net(forward, relu=nn.ReLU(), last=nn.ReLU(), relu6=nn.ReLU6(), **layers)
    result = add_vanilla_training(model, IMAGE, act_num=1, deep=None)
    found = [m for m in result.modules() if isinstance(m, SeriesActivation)]
    assert sorted(act.channels for act in found) == [3, 4, 4, 5, 5, 5, 5, 5]
    assert {act.act_num for act in found} == {1}
    assert isinstance(result.last, SeriesActivation)
    assert (count(result, nn.ReLU), count(result, nn.ReLU6)) == (0, 1)
    assert result(torch.randn(2, 3, 8, 8)).shape == (2, 5, 4, 4)


@pytest.mark.parametrize(
    "relu", [nn.ReLU(inplace=True), torch.relu_, lambda x: x.relu_(), lambda x: F.relu(x, True)]
)
def test_what_a_relu_did_in_place_is_seen_by_later_readers(relu):
    def forward(net, x):
        x = net.conv(x)
        before = x.sum()
        net.relu(x)
        return torch.stack([before, x.sum()])

    model = Net(forward, conv=nn.Conv2d(3, 4, 1), relu=relu).eval()
    result = add_vanilla_training(model, IMAGE, act_num=0, deep=None).eval()
    for module in result.modules():
        if isinstance(module, SeriesActivation):  # the kernel that makes it a ReLU
            nn.init.constant_(module.weight, (1 + 1e-6) ** 0.5)
    x = torch.randn(1, 3, 8, 8)
    assert_close(result(x), model(x))


def test_identities_are_looked_through():
    layers = [nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU()]
    model = nn.Sequential(*(m for layer in layers for m in (layer, nn.Identity())))
    for deep in ("all", "pairs"):
        result = add_vanilla_training(model, torch.zeros(1, 3), deep=deep)
        assert count(result, DeepPair) == (2 if deep == "all" else 1)
        assert result(torch.zeros(1, 3)).shape == (1, 3)


def watched(layer):
    layer.register_forward_hook(lambda module, inputs, output: None)
    return layer


@pytest.mark.parametrize(
    ("function", "layers"),
    [
        (lambda net, x: net.b(y := net.a(x).relu()) + y, {}),
        (lambda net, x: net.b((y := net.a(x)).relu()) + y, {}),
        (lambda net, x: net.b(net.a(x).sigmoid()).relu(), {}),
        (lambda net, x: net.b(net.a(net.a(x)).relu()), {}),
        (lambda net, x: net.b(net.a(x).relu()) + net.b(x), {}),
        (lambda net, x: net.b(net.a(x).relu()) + net.b.weight.sum(), {}),
        (lambda net, x: net.b(net.a(x).relu()), dict(b=nn.Conv2d(4, 4, 3, padding=1))),
        (lambda net, x: net.b(net.a(x).relu()), dict(b=nn.Conv2d(4, 4, 1, stride=2))),
        (lambda net, x: net.b(net.a(x).relu()), dict(b=nn.Conv2d(4, 4, 1, padding=1))),
        (lambda net, x: net.b(net.a(x).relu()), dict(b=nn.Conv2d(4, 4, 1, groups=2))),
        (lambda net, x: net.b(net.a(x).relu()), dict(a=nn.Conv2d(4, 4, 3, groups=4))),
        (lambda net, x: net.b(net.a(x).relu()), dict(a=watched(nn.Conv2d(4, 4, 1)))),
        (lambda net, x: net.b(net.a(x).relu()), dict(b=nn.Linear(8, 8))),
        (lambda net, x: net.b(net.a(x).relu()), dict(a=nn.LazyConv2d(4, 1), b=nn.ReLU())),
    ],
)
def test_what_is_used_elsewhere_or_cannot_be_fused_is_no_pair(function, layers):
    layers = {"a": nn.Conv2d(4, 4, 1), "b": nn.Conv2d(4, 4, 1), **layers}
    model, x = Net(function, **layers), torch.randn(1, 4, 8, 8)
    model(x)
    result = add_vanilla_training(model, x, deep="pairs")
    assert (count(result, DeepPair), count(result, SeriesActivation) > 0) == (0, True)


def test_what_differs_in_training_stays_a_module():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), StochasticDepth(1.0, "batch")).eval()
    result = add_vanilla_training(model, IMAGE)
    x = torch.randn(1, 3, 8, 8)
    assert result(x).abs().max() > 0
    assert result.train()(x).abs().max() == 0


class NormAct(nn.BatchNorm2d):
    """Norm and activation in one, as some model libraries have them."""

    def __init__(self, channels):
        super().__init__(channels)
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(super().forward(x))


def test_a_batchnorm_of_another_kind_stays_a_module():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), NormAct(4), nn.ReLU(), nn.Conv2d(4, 4, 1))
    result = add_vanilla_training(model, IMAGE, deep="pairs")
    assert (count(result, NormAct), count(result, DeepPair)) == (1, 0)
    result(torch.randn(2, 3, 8, 8))
    assert result.get_submodule("1").num_batches_tracked == 1


def test_constants_in_a_forward():
    model = nn.Sequential(nn.ReLU(), Net(lambda net, x: x + torch.tensor([1.0])))
    model[1].layer = nn.ReLU()
    assert add_vanilla_training(model, IMAGE).eval()(IMAGE).min() == 1


def test_a_tuple_of_inputs_is_left_as_it_is():
    model = Net(lambda net, x: x.relu_())
    x = torch.full((1, 3, 8, 8), -1.0)
    add_vanilla_training(model, (x,))
    assert x.max() == -1


def test_a_batchnorm_over_something_else_than_the_channels_is_no_part_of_a_layer():
    # Behind a linear layer on (N, L, C), BatchNorm1d is over L.
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3))
    with pytest.raises(UserError, match="nothing to change"):
        add_vanilla_training(model, torch.zeros(2, 4, 5))


def test_modes_are_kept():
    model = small_resnet()
    model.layer1[0].bn1.eval()
    result = add_vanilla_training(model, torch.zeros(1, 3, 64, 64))
    evaluating = {name for name, module in result.named_modules() if not module.training}
    assert evaluating == {"layer1.0.conv1.first.1", "layer1.0.conv1.second.1"}
    model.eval()
    result = add_vanilla_training(model, torch.zeros(1, 3, 64, 64))
    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.Linear, SeriesActivation)
    assert not any(m.training for m in result.modules() if isinstance(m, kinds))
    assert not result.training
    assert not any(m.training for m in model.modules())
