"""What the tests of checkpoints share."""

import pytest


@pytest.fixture
def path(tmp_path):
    """Where a checkpoint may be."""
    return tmp_path / "a.pth"
