"""The normalisation layers of a network, as a function of their number of channels."""

from typing import Callable

from torch import nn

NormFactory = Callable[[int], nn.Module]
"""Makes the BatchNorm over so many channels; MMDetection's backbone makes it of a `norm_cfg`."""


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Make VanillaNet's BatchNorm, whose eps is 1e-6."""
    return nn.BatchNorm2d(channels, eps=1e-6)
