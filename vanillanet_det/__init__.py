"""VanillaNet for MMDetection. Importing this package registers its models, hooks and datasets.

Without MMEngine or MMDetection, only `vanillanet_det.runtime` is available, which runs exported
detectors.
"""

import sys
from importlib.util import find_spec
from typing import Any

from .errors import UserError
from .installation import __version__  # noqa: F401
from .requirements import check_requirements, import_yapf

__all__ = [
    "DeepTrainingHook",
    "GResNet",
    "SwitchToDeployHook",
    "UserError",
    "VanillaNet",
    "add_split_normalization",
    "add_vanilla_training",
    "load_detector",
    "set_act_lambda",
    "switch_to_deploy",
    "switch_to_merged",
]

if find_spec("mmengine") is None or find_spec("mmdet") is None:

    def __getattr__(name: str) -> Any:
        if name in __all__:
            check_requirements()
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

else:
    check_requirements()
    import_yapf()

    from .ops import supply_ext

    # This must precede any import of MMDetection, whose models import mmcv's compiled ops.
    supply_ext()

    from . import datasets, evaluation  # noqa: F401
    from .checkpoints import loading  # noqa: F401
    from .engine import atomic_backend, optimizers  # noqa: F401
    from .engine.hooks import DeepTrainingHook, SwitchToDeployHook
    from .inference import load_detector
    from .models import mask_tta, raw_pixels
    from .models.backbones import timm_backbone  # noqa: F401
    from .models.backbones.mmdet_gresnet import GResNet
    from .models.backbones.mmdet_vanillanet import VanillaNet
    from .models.conversion import add_split_normalization, add_vanilla_training
    from .models.deploy import switch_to_deploy, switch_to_merged
    from .models.layers import set_act_lambda
    from .pretraining import image_classifier  # noqa: F401

    # Older configs and scripts import these modules under their previous names.
    sys.modules.update(
        {
            f"{__name__}.tta": mask_tta,
            f"{__name__}.tta.mask_tta": mask_tta,
            f"{__name__}.data_preprocessors": raw_pixels,
            f"{__name__}.data_preprocessors.raw_pixels": raw_pixels,
        }
    )
