"""Layers of VanillaNet, the algebra that fuses them, and both for other networks."""

from .act_lambda import set_act_lambda
from .deep_pair import DeepPair
from .deep_training import add_vanilla_training
from .fusion import switch_to_deploy, switch_to_merged
from .series_activation import SeriesActivation

__all__ = [
    "DeepPair",
    "SeriesActivation",
    "add_vanilla_training",
    "set_act_lambda",
    "switch_to_deploy",
    "switch_to_merged",
]
