"""Backbones, registered with MMDetection's `MODELS`."""

from .archs import ARCHS
from .classifier import VanillaNetClassifier
from .timm_backbone import TIMMBackbone
from .vanillanet import VanillaNet

__all__ = ["ARCHS", "TIMMBackbone", "VanillaNet", "VanillaNetClassifier"]
