"""A stage of VanillaNet, and the building blocks that it shares with the stem."""

from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Union

from torch import Tensor, nn
from torch.nn import functional as F

from .activation import deep_activation
from .fusion import WeightBias, fuse_conv_bn, fuse_pointwise, fused_conv
from .max_pool import MaxPool
from .norm import NormFactory
from .pointwise import (
    PointwiseConv2d,
    computes_on_cpu,
    convolve_and_pool,
    in_eager_inference,
)
from .series_activation import Series


class AdaptivePool(nn.Module):
    """Adaptive max pooling to `ceil(input / stride)`, for images of any size.

    Args:
        stride: Stride of the stage.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, C, H, W)` to `(N, C, ceil(H / stride), ceil(W / stride))`."""
        height, width = x.shape[-2], x.shape[-1]  # each by itself, for torch.fx
        size = (-(-height // self.stride), -(-width // self.stride))
        return F.adaptive_max_pool2d(x, size)

    def extra_repr(self) -> str:
        """Return the arguments of the module for its repr."""
        return f"stride={self.stride}"


def _build_pool(stride: int, ada_pool: Union[bool, int]) -> nn.Module:
    if stride == 1:
        return nn.Identity()
    if ada_pool is True:
        return AdaptivePool(stride)
    return nn.AdaptiveMaxPool2d(ada_pool) if ada_pool else MaxPool(stride)


def conv_bn(conv: nn.Conv2d, norm: NormFactory) -> nn.Sequential:
    """Append a normalisation to a convolution."""
    return nn.Sequential(conv, norm(conv.out_channels))


def fuse_layer(pairs: Iterable[Iterable[nn.Module]], name: str) -> nn.Conv2d:
    """Fuse a convolution, its BN, and the following 1x1 convolutions and BNs into one layer.

    Args:
        pairs: One or more pairs of convolution and BN, with no activation between the pairs.
        name: Name of the layer in error messages.

    Returns:
        A new convolution.

    Raises:
        UserError: As for `fused_conv` and `fuse_conv_bn`.
    """
    pairs = [tuple(pair) for pair in pairs]
    fused = [fuse_conv_bn(conv.weight, conv.bias, bn) for conv, bn in pairs]
    return fused_conv(pairs[0][0], *reduce(fuse_pointwise, fused), name=name)


def merge_convs(conv1: nn.Conv2d, bn: nn.Module, conv2: nn.Conv2d, name: str) -> nn.Conv2d:
    """Merge a conv, its BN and a 1x1 conv, with no activation between them, into one conv.

    Args:
        conv1: The convolution.
        bn: The BN after it.
        conv2: The 1x1 convolution.
        name: Name of the layer in error messages.

    Returns:
        A new convolution.

    Raises:
        UserError: As for `fused_conv` and `fuse_conv_bn`.
    """
    second: WeightBias = conv2.weight.detach().double(), conv2.bias.detach().double()
    weight, bias = fuse_pointwise(fuse_conv_bn(conv1.weight, conv1.bias, bn), second)
    return fused_conv(conv1, weight, bias, name=name)


def _stride_of_max(pool: nn.Module, x: Tensor) -> int:
    """Return the stride if a layer pools this feature without overlap, otherwise 0."""
    if not isinstance(pool, (MaxPool, AdaptivePool)) or min(x.shape[2:]) < pool.stride:
        return 0
    even = not any(side % pool.stride for side in x.shape[2:])
    return pool.stride if even or isinstance(pool, MaxPool) else 0


class Stage(nn.Module):
    """One layer: 1x1 conv, BN, A', 1x1 conv, BN, pooling, series activation.

    The merged form consists of 1x1 conv, BN, pooling and series activation; the deployed form
    consists of 1x1 conv, pooling and series activation.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: Stride of the pooling; 1 for none.
        series: Kind of the series activation.
        ada_pool: True for `AdaptivePool`, a size for fixed adaptive pooling, or False.
        norm: Function that builds the BatchNorms.
        form: `training`, `merged` or `deployed`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        series: Series,
        ada_pool: Union[bool, int],
        norm: NormFactory,
        form: str,
    ) -> None:
        super().__init__()
        if form == "deployed":
            self.conv = PointwiseConv2d(in_channels, out_channels)
        elif form == "merged":
            self.conv = conv_bn(PointwiseConv2d(in_channels, out_channels), norm)
        else:
            self.conv1 = conv_bn(nn.Conv2d(in_channels, in_channels, 1), norm)
            self.conv2 = conv_bn(nn.Conv2d(in_channels, out_channels, 1), norm)
        self.pool = _build_pool(stride, ada_pool)
        self.act = series.build(out_channels, norm, form == "deployed")

    def forward(self, x: Tensor, act_lambda: float) -> Tensor:
        """Map `(N, in_channels, H, W)` to `(N, out_channels, H / stride, W / stride)`.

        Args:
            x: The feature.
            act_lambda: Lambda of A'; only the training form has an A'.
        """
        if self.act.deploy:
            return self._forward_deployed(x)
        if hasattr(self, "conv"):
            x = self.conv(x)
        else:
            x = self.conv2(deep_activation(self.conv1(x), act_lambda, self.act.act_base))
        return self.act(self.pool(x))

    def _forward_deployed(self, x: Tensor) -> Tensor:
        # Forward hooks read, and may replace, the output of each module.
        hooked = self.conv._forward_hooks or self.pool._forward_hooks
        plain = isinstance(self.conv, PointwiseConv2d) and not hooked
        if plain and computes_on_cpu(x) and (stride := _stride_of_max(self.pool, x)):
            x = convolve_and_pool(self.conv, x, stride)
        else:
            x = self.pool(self.conv(x))
        return self.act(x, inplace=plain and in_eager_inference())

    @property
    def convs(self) -> Sequence[nn.Module]:
        """The layers before the pooling: two pairs of convolution and BN, or one fused layer."""
        return [self.conv] if hasattr(self, "conv") else [self.conv1, self.conv2]

    def put_conv(self, conv: nn.Module) -> None:
        """Replace `convs` with one layer."""
        if not hasattr(self, "conv"):
            del self.conv1, self.conv2
        self.conv = conv
