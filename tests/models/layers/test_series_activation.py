"""The series activation, against its formula."""

import pytest
import torch
from torch.testing import assert_close

from vanillanet_det import UserError
from vanillanet_det.models.backbones.vanillanet import VanillaNetwork
from vanillanet_det.models.layers import SeriesActivation
from vanillanet_det.models.layers.activation import ACTIVATIONS, deep_activation
from vanillanet_det.models.layers.norm import batch_norm
from vanillanet_det.models.layers.series_activation import PointwiseSeries, Series

TINY = dict(dims=[8, 8, 16, 24], strides=[1, 2, 2])
FUNCTIONS = dict(
    relu=torch.relu,
    tanh=torch.tanh,
    silu=torch.nn.functional.silu,
    gelu=torch.nn.functional.gelu,
)
READINGS = [Series(2, "tanh"), Series(3, "relu", False), Series(1, "gelu", False)]


@pytest.mark.parametrize("n", [0, 1, 3])
def test_equals_the_formula(n, randomize_norms):
    act = randomize_norms(SeriesActivation(4, n, batch_norm)).eval()
    x = torch.randn(2, 4, 6, 5)
    padded = torch.nn.functional.pad(x.clamp(min=0), [n] * 4)
    expected = sum(
        act.weight[:, 0, i, j, None, None] * padded[:, :, i : i + 6, j : j + 5]
        for i in range(2 * n + 1)
        for j in range(2 * n + 1)
    )
    assert_close(act(x), act.bn(expected))


@pytest.mark.parametrize("n", [0, 3])
def test_deployed_form_is_equal_and_loads_into_a_fresh_one(n, randomize_norms):
    act = randomize_norms(SeriesActivation(4, n, batch_norm)).eval()
    x = torch.randn(2, 4, 6, 5)
    expected = act(x)
    act.switch_to_deploy()
    act.switch_to_deploy()  # idempotent
    assert_close(act(x), expected, rtol=1e-5, atol=1e-6)
    assert sorted(act.state_dict()) == ["bias", "weight"]
    fresh = SeriesActivation(4, n, batch_norm, deploy=True)
    fresh.load_state_dict(act.state_dict())
    assert_close(fresh(x), act(x))


@pytest.mark.parametrize("act_num", [-1, 1.5, True, "3"])
def test_act_num_that_is_no_count_is_refused(act_num):
    with pytest.raises(UserError, match=r"act_num .* expected a non-negative integer"):
        SeriesActivation(4, act_num, batch_norm)


@pytest.mark.parametrize("base", ACTIVATIONS)
def test_other_activations(base, randomize_norms):
    act = randomize_norms(SeriesActivation(4, 1, batch_norm, act_base=base)).eval()
    x = torch.randn(2, 4, 6, 5)
    expected = torch.nn.functional.conv2d(FUNCTIONS[base](x), act.weight, padding=1, groups=4)
    assert_close(act(x), act.bn(expected))
    expected = 0.7 * FUNCTIONS[base](x) + 0.3 * x
    assert_close(deep_activation(x, 0.3, base), expected)
    assert deep_activation(x, 1, base) is x


@pytest.mark.parametrize("base", ACTIVATIONS)
def test_without_neighbours_it_is_a_sum_of_shifted_activations(base, randomize_norms):
    act = randomize_norms(PointwiseSeries(4, 3, batch_norm, act_base=base)).eval()
    torch.nn.init.normal_(act.shift)
    x = torch.randn(2, 4, 6, 5)
    shift = act.shift.view(4, 3, 1, 1)
    expected = sum(act.weight[:, i] * FUNCTIONS[base](x + shift[:, i]) for i in range(3))
    assert_close(act(x), act.bn(expected))
    before = act(x)
    act.switch_to_deploy()
    assert_close(act(x), before, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("series", READINGS, ids=str)
def test_networks_with_each_reading_are_fused_exactly(series, randomize_norms):
    network = randomize_norms(VanillaNetwork(TINY, **series.arguments)).double().eval()
    x = torch.rand(1, 3, 64, 96, dtype=torch.float64)
    before = network(x)
    network.switch_to_deploy()
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())
    for found, expected in zip(network(x), before):
        assert_close(found, expected, rtol=1e-10, atol=1e-10)
    fresh = VanillaNetwork(TINY, deploy=True, **series.arguments).double()
    fresh.load_state_dict(network.state_dict())


@pytest.mark.parametrize("deploy", [False, True])
@pytest.mark.parametrize("series", READINGS, ids=str)
def test_weights_of_another_reading_are_refused(series, deploy):
    state = VanillaNetwork(TINY, deploy=deploy, **series.arguments).state_dict()
    other = VanillaNetwork(TINY, act_num=series.act_num, deploy=deploy)
    with pytest.raises(UserError, match=r"the weights are of .*; set act_\w+.* to match"):
        other.load_state_dict(state)
    own = VanillaNetwork(TINY, deploy=deploy, **series.arguments)
    with pytest.raises(UserError, match=r"the weights are of .*; set act_\w+.* to match"):
        own.load_state_dict(other.state_dict())


def test_an_unknown_activation_is_refused():
    with pytest.raises(UserError, match="act_base 'selu'; expected relu, tanh, silu, gelu"):
        VanillaNetwork(TINY, act_base="selu")
    with pytest.raises(UserError, match="act_neighbours 'no'; expected True or False"):
        VanillaNetwork(TINY, act_neighbours="no")
    with pytest.raises(UserError, match="act_num 0; expected a positive integer"):
        VanillaNetwork(TINY, act_num=0, act_neighbours=False)
