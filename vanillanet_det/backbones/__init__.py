"""Backbones, registered with MMDetection's `MODELS`."""

from .archs import ARCHS
from .classifier import VanillaNetClassifier
from .vanillanet import VanillaNet

__all__ = ["ARCHS", "VanillaNet", "VanillaNetClassifier"]
