"""Layers of VanillaNet and the algebra that fuses them. They depend only on PyTorch."""

from .act_lambda import set_act_lambda
from .series_activation import SeriesActivation

__all__ = ["SeriesActivation", "set_act_lambda"]
