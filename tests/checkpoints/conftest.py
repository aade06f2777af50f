"""What the tests of checkpoints share."""

import pytest
from mmengine.logging import MMLogger


@pytest.fixture
def path(tmp_path):
    """Where a checkpoint may be."""
    return tmp_path / "a.pth"


@pytest.fixture
def log(caplog):
    """The log of mmengine's current logger."""
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)
