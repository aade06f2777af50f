"""BatchNorm statistics of averaged weights, in two ranks that have seen different images."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from torch import nn
from torch.testing import assert_close
from two_ranks import run_in_two_ranks

from vanillanet_det.engine.hooks.sync_averages_hook import SyncAveragesHook


def average_of_rank(rank):
    model = nn.BatchNorm2d(3)
    average = ExponentialMovingAverage(model, momentum=0.5, update_buffers=True)
    for step in range(3):
        model(torch.full((2, 3, 4, 4), float(rank + step)))
        average.update_parameters(model)
    before = average.module.running_mean.clone()
    hook = SyncAveragesHook()
    runner = SimpleNamespace(model=model, hooks=[hook, SimpleNamespace(ema_model=average)])
    hook.before_train(runner)
    hook.after_train_epoch(runner)
    return before, average.module.running_mean, model.running_mean


@pytest.mark.slow
@pytest.mark.xdist_group("two_ranks")
def test_all_ranks_have_the_mean_of_their_statistics(tmp_path):
    (first, *found), (second, *others) = run_in_two_ranks(average_of_rank, tmp_path)
    assert not torch.equal(first, second)
    assert_close(found[0], (first + second) / 2)
    assert_close(others, found)
