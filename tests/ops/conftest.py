from pathlib import Path

import pytest
import torch

from vanillanet_det import ops

ops.supply_ext()


@pytest.fixture(scope="session")
def reference():
    """Inputs and results of compiled mmcv 2.1.0 on the CPU."""
    return torch.load(Path(__file__).parents[1] / "data" / "mmcv_ops.pt", weights_only=True)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)
