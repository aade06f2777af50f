"""Test-time augmentation, registered with MMDetection's `MODELS`."""

from .mask_tta import MaskTTAModel

__all__ = ["MaskTTAModel"]
