"""All checks, in the order in which they run."""

from mmengine.config import Config

from .detection import detection_checks
from .fusion import fusion_checks
from .operators import check_operators
from .outcome import Check
from .training import training_checks


def all_checks(cfg: Config) -> list[tuple[str, Check]]:
    """Return the name and function of each check.

    Args:
        cfg: Config of the detector that is trained and exported.
    """
    return [
        ("operators and their gradients", check_operators),
        *fusion_checks(),
        *training_checks(cfg),
        *detection_checks(cfg),
    ]
