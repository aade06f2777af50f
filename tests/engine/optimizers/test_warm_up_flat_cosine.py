import math

import pytest
import torch
from mmdet.registry import PARAM_SCHEDULERS
from mmengine.logging import MessageHub

from vanillanet_det import UserError


@pytest.fixture
def rates():
    """Function that returns the learning rate of each iteration, relative to the full one."""

    def rates(length, **settings):
        hub = MessageHub.get_current_instance()
        hub.update_info("max_iters", length)
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
        scheduler = PARAM_SCHEDULERS.build(
            dict(type="WarmUpFlatCosineLR", optimizer=optimizer, **settings)
        )
        found = []
        for _ in range(length):
            found.append(optimizer.param_groups[0]["lr"] / 2.0)
            optimizer.step()
            scheduler.step()
        return found

    yield rates
    MessageHub.get_current_instance().runtime_info.pop("max_iters")


def test_it_rises_stays_and_falls(rates):
    found = rates(100, warm_up=9, flat=0.5, last=0.1)
    assert found[:9] == pytest.approx([0.1 * step for step in range(1, 10)])
    assert found[9:51] == pytest.approx([1.0] * 42)
    assert found[75] == pytest.approx(0.55)  # halfway down
    assert found[-1] == pytest.approx(0.1, abs=0.01)
    assert found[50:] == sorted(found[50:], reverse=True)


def test_without_a_flat_part_it_is_a_cosine(rates):
    expected = [(1 + math.cos(math.pi * step / 50)) / 2 for step in range(50)]
    assert rates(50, last=0.0) == pytest.approx(expected)


def test_a_share_that_is_none(rates):
    with pytest.raises(UserError, match=r"flat 1\.0; expected 0 or more, below 1"):
        rates(4, flat=1.0)


def test_a_warm_up_that_is_longer_than_the_training(rates):
    assert max(rates(4, warm_up=100)) < 0.05
