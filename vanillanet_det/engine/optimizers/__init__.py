"""Optimizer wrappers and their constructors, registered in MMDetection."""

from .bf16_optim_wrapper import Bf16OptimWrapper
from .layer_decay import LayerDecay

__all__ = ["Bf16OptimWrapper", "LayerDecay"]
