"""Layers of VanillaNet and the algebra that fuses them."""

from .fusion import switch_to_deploy
from .series_activation import SeriesActivation

__all__ = ["SeriesActivation", "switch_to_deploy"]
