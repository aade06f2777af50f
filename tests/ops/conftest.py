from pathlib import Path

import pytest
import torch

from vanillanet_det import ops

ops.supply_ext()


@pytest.fixture(scope="session")
def reference():
    """Inputs and results of compiled mmcv 2.1.0 on the CPU."""
    return torch.load(Path(__file__).parents[1] / "data" / "mmcv_ops.pt", weights_only=True)


@pytest.fixture(
    params=[
        "cpu",
        pytest.param(
            "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
        ),
    ]
)
def device(request):
    return request.param


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)
