"""A narrow ResNet-50 that becomes GResNet step by step."""

from collections.abc import Sequence
from typing import Optional

import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from ..errors import UserError
from ..models.conversion import add_split_normalization

STEPS = ("stride", "stem", "shortcut", "pool", "silu", "split")
"""What GResNet changes in a ResNet, in order.

Without `stride`, the first 1x1 convolution of a block has its stride, as in the first ResNet.
"""
_WIDTH = 8


def narrow_resnet50(
    num_classes: int, in_channels: int = 3, last_step: Optional[str] = None, drop_path: float = 0.0
) -> nn.Module:
    """Build ResNet-50 with an eighth of its channels, and the first steps to GResNet.

    Args:
        num_classes: Number of classes.
        in_channels: Channels of the image.
        last_step: The last of the steps; None for no step.
        drop_path: Probability to skip the last block in training; it rises linearly from 0.

    Raises:
        UserError: There is no such step.
    """
    if last_step not in (None, *STEPS):
        raise UserError(f"no step {last_step!r}; expected one of {', '.join(STEPS)}")
    steps = STEPS[: STEPS.index(last_step) + 1] if last_step else ()
    channels = (_WIDTH // 2, _WIDTH, 2 * _WIDTH) if "stem" in steps else (_WIDTH,)
    layers = _stem(in_channels, channels, steps)
    before, blocks = channels[-1], (3, 4, 6, 3)
    shares = (drop_path * index / (sum(blocks) - 1) for index in range(sum(blocks)))
    for stage, number in enumerate(blocks):
        for index in range(number):
            halves = index == 0 and (stage > 0 or "pool" in steps)
            width = _WIDTH * 2**stage
            layers.append(Block(before, width, 2 if halves else 1, steps, next(shares)))
            before = 4 * width
    head = [nn.AdaptiveAvgPool2d(1), nn.Conv2d(before, num_classes, 1), nn.Flatten()]
    network = nn.Sequential(*layers, *head)
    if "split" in steps:
        return add_split_normalization(network, torch.zeros(1, in_channels, 64, 64))
    return network


class Block(nn.Module):
    """A bottleneck block.

    Args:
        in_channels: Channels of the input.
        width: Channels of the 3x3 convolution; the output has four times as many.
        stride: Stride of the block.
        steps: Steps to GResNet.
        drop_path: Probability to skip the convolutions of an image in training.
    """

    def __init__(
        self, in_channels: int, width: int, stride: int, steps: Sequence[str], drop_path: float
    ) -> None:
        super().__init__()
        strides = (1, stride) if "stride" in steps else (stride, 1)
        self.layers = nn.Sequential(
            *_conv(in_channels, width, 1, strides[0]),
            _activation(steps),
            *_conv(width, width, 3, strides[1]),
            _activation(steps),
            *_conv(width, 4 * width, 1, 1),
        )
        pool, shortcut_stride = [], stride
        if "shortcut" in steps and stride == 2:
            pool = [nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False)]
            shortcut_stride = 1
        same = stride == 1 and in_channels == 4 * width
        convs = [] if same else _conv(in_channels, 4 * width, 1, shortcut_stride)
        self.shortcut = nn.Sequential(*pool, *convs)
        self.drop_path = StochasticDepth(drop_path, "row") if drop_path else nn.Identity()
        self.activation = _activation(steps)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, in_channels, H, W)` to `(N, 4 width, H / stride, W / stride)`, rounded up."""
        return self.activation(self.drop_path(self.layers(x)) + self.shortcut(x))


def _stem(in_channels: int, channels: Sequence[int], steps: Sequence[str]) -> list[nn.Module]:
    size, layers = 3 if "stem" in steps else 7, []
    for index, (before, after) in enumerate(zip((in_channels, *channels), channels)):
        layers += [*_conv(before, after, size, 2 if index == 0 else 1), _activation(steps)]
    return layers if "pool" in steps else [*layers, nn.MaxPool2d(3, 2, 1)]


def _conv(in_channels: int, out_channels: int, size: int, stride: int) -> list[nn.Module]:
    conv = nn.Conv2d(in_channels, out_channels, size, stride, size // 2, bias=False)
    # Split normalisation needs outputs with the variance of the input.
    nn.init.kaiming_normal_(conv.weight, nonlinearity="linear")
    return [conv, nn.BatchNorm2d(out_channels)]


def _activation(steps: Sequence[str]) -> nn.Module:
    return nn.SiLU(inplace=True) if "silu" in steps else nn.ReLU(inplace=True)
