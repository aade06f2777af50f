"""What the tests of checkpoints share."""

import pytest
import torch
from torch.torch_version import TorchVersion


@pytest.fixture
def path(tmp_path):
    """Where a checkpoint may be."""
    return tmp_path / "a.pth"


@pytest.fixture(params=["this PyTorch", "before 2.10"])
def both_readers(request, monkeypatch):
    """Read checkpoints as this version of PyTorch does, and as older ones do."""
    if request.param == "before 2.10":
        monkeypatch.setattr(torch, "__version__", TorchVersion("2.5.1"))
