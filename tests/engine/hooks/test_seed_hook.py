"""What is random depends on seed, iteration, rank and epoch."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vanillanet_det.engine.hooks import SeedHook


def draws(**changes):
    values = {"seed": 0, "iter": 3, "rank": 0, **changes}
    SeedHook().before_train_iter(SimpleNamespace(**values), 0)
    return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002, S311


def test_an_iteration_draws_the_same_again():
    assert draws() == draws()


@pytest.mark.parametrize("change", [dict(seed=1), dict(iter=4), dict(rank=1)])
def test_other_iterations_ranks_and_seeds_draw_others(change):
    assert not set(draws()) & set(draws(**change))


def test_the_dataset_learns_the_epoch():
    dataset = SimpleNamespace(epoch=0)
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset))
    SeedHook().before_train_epoch(SimpleNamespace(epoch=7, train_loop=loop))
    assert dataset.epoch == 7
