"""VanillaNet for MMDetection. Importing this package registers everything it brings."""

from .requirements import check_requirements

check_requirements()

from .ops import supply_ext  # noqa: E402

# Before anything of MMDetection is imported: its models import mmcv's compiled ops.
supply_ext()

from . import checkpoints, datasets, evaluation, fileio, optimizers  # noqa: E402, F401
from .backbones import VanillaNet  # noqa: E402
from .errors import UserError  # noqa: E402
from .hooks import DeepTrainingHook, SwitchToDeployHook  # noqa: E402
from .inference import load_detector  # noqa: E402
from .layers import (  # noqa: E402
    add_vanilla_training,
    set_act_lambda,
    switch_to_deploy,
    switch_to_merged,
)

__version__ = "0.1.0"
__all__ = [
    "DeepTrainingHook",
    "SwitchToDeployHook",
    "UserError",
    "VanillaNet",
    "add_vanilla_training",
    "load_detector",
    "set_act_lambda",
    "switch_to_deploy",
    "switch_to_merged",
]
