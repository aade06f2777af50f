"""The series activation, against its formula."""

import pytest
import torch
from torch.testing import assert_close

from vanillanet_det import UserError
from vanillanet_det.models.layers import SeriesActivation
from vanillanet_det.models.layers.norm import batch_norm


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
