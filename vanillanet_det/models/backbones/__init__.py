"""Backbones. Those in MMDetection's `MODELS` are in the modules `mmdet_*` and `timm_backbone`."""

from .archs import ARCHS
from .classifier import ClassifierNetwork
from .vanillanet import VanillaNetwork

__all__ = ["ARCHS", "ClassifierNetwork", "VanillaNetwork"]
