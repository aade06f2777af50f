"""VanillaNet's deep training and series activation for any other network."""

from .conversion import add_vanilla_training
from .deep_pair import DeepPair

__all__ = ["DeepPair", "add_vanilla_training"]
