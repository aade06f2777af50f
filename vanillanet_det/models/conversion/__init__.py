"""The ideas of VanillaNet and GResNet for any other network."""

from .deep_pair import DeepPair
from .split_normalization import add_split_normalization
from .vanilla_training import add_vanilla_training

__all__ = ["DeepPair", "add_split_normalization", "add_vanilla_training"]
