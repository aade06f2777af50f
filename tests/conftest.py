"""What all tests share."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

import vanillanet_det  # noqa: F401  supplies mmcv's ops before any test imports mmdet

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def root():
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def randomize_norms():
    """Function that gives a model's BatchNorms weights and statistics of their own.

    Fresh ones are the identity, and every comparison of a fused model with them passes.
    """

    def randomize(model: nn.Module) -> nn.Module:
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.3)
                nn.init.normal_(module.running_mean, std=0.3)
                nn.init.uniform_(module.running_var, 0.5, 2)
        return model

    return randomize


@pytest.fixture
def mmdet_scope():
    """MMDetection's registries as the default, as its Runner sets them."""
    from mmengine.registry import init_default_scope

    init_default_scope("mmdet")
