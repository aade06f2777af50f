"""Two maps with A' between them fuse exactly, or refuse."""

import copy

import pytest
import torch
from networks import IMAGE, conv_pair, shapes, small_alexnet, small_vanillanet
from torch import nn
from torch.testing import assert_close

from vanillanet_det import UserError, switch_to_deploy
from vanillanet_det.models.conversion import DeepPair, add_vanilla_training
from vanillanet_det.models.layers import set_act_lambda


@pytest.mark.parametrize(
    "kwargs",
    [
        dict(stride=2, padding=1),
        dict(dilation=2, padding="same", bias=False),
        dict(padding=(1, 2), padding_mode="reflect"),
    ],
)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_pairs_of_convolutions(kwargs, memory_format, randomize_norms):
    model = randomize_norms(conv_pair(**kwargs)).to(memory_format=memory_format)
    result = add_vanilla_training(model, IMAGE, deep="pairs").eval()
    assert [name for name, _ in result.named_children()] == ["0"]
    pair, x = result.get_submodule("0"), torch.randn(2, 3, 9, 10)
    expected = nn.Sequential(*model[:2], *model[4:]).eval()(x)  # nothing in between
    assert_close(pair(x), expected)
    pair.switch_to_deploy()
    pair.switch_to_deploy()  # idempotent
    assert_close(pair(x), expected, rtol=1e-5, atol=1e-5)
    assert sorted(pair.state_dict()) == ["fused.bias", "fused.weight"]
    assert pair.fused.weight.is_contiguous()
    assert pair.fused.out_channels == 4


@pytest.mark.parametrize("norm", [True, False])
def test_pairs_of_linear_layers(norm, randomize_norms):
    norms = [[nn.BatchNorm1d(6)], [nn.BatchNorm1d(4)]] if norm else [[], []]
    first, second = nn.Linear(3, 6, bias=False), nn.Linear(6, 4, bias=not norm)
    model = nn.Sequential(first, *norms[0], nn.ReLU(), second, *norms[1])
    pair = randomize_norms(add_vanilla_training(model, torch.zeros(2, 3), deep="pairs")).eval()
    assert len(list(pair.children())) == 1
    x = torch.randn(5, 3)
    fused = switch_to_deploy(pair)
    assert_close(fused(x), pair(x), rtol=1e-5, atol=1e-5)
    assert shapes(fused) == [(4, 3)]
    assert fused.get_submodule("0").out_features == 4


def test_a_pair_knows_whether_its_weights_were_loaded():
    model = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 4))
    model = nn.Sequential(nn.Linear(3, 3), add_vanilla_training(model, torch.zeros(2, 3)))
    state = model.state_dict()
    (pair,) = (module for module in model.modules() if isinstance(module, DeepPair))
    model.load_state_dict({k: v for k, v in state.items() if k.startswith("0.")}, strict=False)
    assert not pair.has_loaded
    model.load_state_dict(state)
    assert pair.has_loaded


def test_a_dropout_inside_a_pair_works_in_training_only():
    model = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Dropout(1.0), nn.Linear(6, 4))
    pair = add_vanilla_training(model, torch.zeros(2, 3), deep="pairs")
    x = torch.randn(5, 3)
    assert_close(pair(x), model[3].bias.expand(5, 4))
    assert_close(pair.eval()(x), model[3](model[0](x)))


def test_values_beyond_the_precision_leave_the_pair_unchanged():
    pair = DeepPair([nn.Linear(3, 3)], [nn.Linear(3, 3)]).half()
    for layer in (pair.first[0], pair.second[0]):
        nn.init.constant_(layer.weight, 1000)
    with pytest.raises(UserError, match=r"DeepPair of Linear\(.*don't fit into torch\.float16"):
        pair.switch_to_deploy()
    assert not pair.deploy


def test_a_batchnorm_without_statistics_leaves_the_pair_unchanged():
    norm = nn.BatchNorm1d(3, track_running_stats=False)
    pair = DeepPair([nn.Linear(3, 3)], [nn.Linear(3, 3), norm])
    with pytest.raises(UserError, match="has no running statistics"):
        pair.switch_to_deploy()
    assert not pair.deploy
    assert pair.second[1] is norm


@pytest.mark.parametrize("deep", ["all", "pairs"])
def test_fusion_is_refused_below_lambda_1(deep):
    model = add_vanilla_training(small_alexnet(), torch.zeros(1, 3, 64, 64), deep=deep).eval()
    pair = next(module for module in model.modules() if isinstance(module, DeepPair))
    set_act_lambda(model, 0.5)
    pair.lambda_schedule = "soon 1"
    before = copy.deepcopy(pair.state_dict())
    with pytest.raises(UserError, match=r"DeepPair: lambda is 0\.5, and soon 1; layers can"):
        pair.switch_to_deploy()
    assert not pair.deploy
    assert_close(pair.state_dict(), before)
    with pytest.raises(UserError, match=r"lambda is 0\.5"):
        switch_to_deploy(model)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_lambda_outside_0_to_1_is_refused(value):
    pair = DeepPair([nn.Linear(3, 3)], [nn.Linear(3, 3)])
    with pytest.raises(UserError, match=r"DeepPair: lambda .* expected a number from 0 to 1"):
        pair.set_act_lambda(value)
    assert pair.act_lambda == 1


def test_the_deployed_form_has_no_lambda():
    model = nn.Sequential(DeepPair([nn.Linear(3, 3)], [nn.Linear(3, 3)]), small_vanillanet())
    assert set_act_lambda(model, 1) == 2
    fused = switch_to_deploy(model)
    assert set_act_lambda(fused, 0) == 0
    assert type(fused[0]) is nn.Linear
    model[0].switch_to_deploy()
    with pytest.raises(UserError, match="one convolution per layer and no lambda"):
        model[0].set_act_lambda(0)


def test_two_maps_that_are_no_pair_are_refused():
    with pytest.raises(UserError, match=r"DeepPair: Linear\(.*\) and Conv2d\(.*; expected"):
        DeepPair([nn.Linear(3, 3)], [nn.Conv2d(3, 3, 1)])
    with pytest.raises(UserError, match=r"DeepPair: .* over its channels"):
        DeepPair([nn.Conv2d(3, 3, 1)], [nn.Conv2d(4, 3, 1)])
