"""Functions that build a network's normalisation layers from their number of channels."""

from typing import Callable

from torch import nn

NormFactory = Callable[[int], nn.Module]
"""Builds a BatchNorm from its number of channels; see `norm_factory` for MMDetection."""


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Build VanillaNet's BatchNorm, whose eps is 1e-6."""
    return nn.BatchNorm2d(channels, eps=1e-6)
