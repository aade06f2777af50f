"""Optimizer wrappers, their constructors and schedules, registered in MMDetection."""

from .bf16_optim_wrapper import Bf16OptimWrapper
from .fused_adamw import FusedAdamW
from .layer_decay import LayerDecay
from .timm_optimizer import timm_optimizer
from .warm_up_flat_cosine import WarmUpFlatCosineLR

__all__ = ["Bf16OptimWrapper", "FusedAdamW", "LayerDecay", "WarmUpFlatCosineLR", "timm_optimizer"]
