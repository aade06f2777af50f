"""One layer of VanillaNet, and what it shares with the stem."""

from collections.abc import Iterable
from typing import Union

from mmcv.cnn import build_norm_layer
from torch import Tensor, nn
from torch.nn import functional as F

from .act_lambda import deep_activation
from .fusion import WeightBias, fuse_conv_bn, fuse_pointwise
from .series_activation import SeriesActivation


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
        size = [-(-side // self.stride) for side in x.shape[-2:]]
        return F.adaptive_max_pool2d(x, size)

    def extra_repr(self) -> str:
        """Describe the module the way torch's own layers do."""
        return f"stride={self.stride}"


def _build_pool(stride: int, ada_pool: Union[bool, int]) -> nn.Module:
    if stride == 1:
        return nn.Identity()
    if ada_pool is True:
        return AdaptivePool(stride)
    return nn.AdaptiveMaxPool2d(ada_pool) if ada_pool else nn.MaxPool2d(stride)


def conv_bn(conv: nn.Conv2d, norm_cfg: dict) -> nn.Sequential:
    """Put a normalisation behind a convolution."""
    return nn.Sequential(conv, build_norm_layer(norm_cfg, conv.out_channels)[1])


def fuse_pair(first: Iterable[nn.Module], second: Iterable[nn.Module]) -> WeightBias:
    """Fuse conv, BN, 1x1 conv, BN, with nothing in between, into one kernel and bias."""
    (conv1, bn1), (conv2, bn2) = first, second
    return fuse_pointwise(
        fuse_conv_bn(conv1.weight, conv1.bias, bn1), fuse_conv_bn(conv2.weight, conv2.bias, bn2)
    )


class Stage(nn.Module):
    """One layer: 1x1 conv, BN, A', 1x1 conv, BN, pooling, series activation.

    The deployed form is 1x1 conv, pooling, series activation.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: Stride of the pooling; 1 for none.
        act_num: `n` of the series activation.
        ada_pool: True for `AdaptivePool`, a size for fixed adaptive pooling, or False.
        norm_cfg: Config of the BatchNorms.
        deploy: Build the deployed form.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        act_num: int,
        ada_pool: Union[bool, int],
        norm_cfg: dict,
        deploy: bool,
    ) -> None:
        super().__init__()
        if deploy:
            self.conv = nn.Conv2d(in_channels, out_channels, 1)
        else:
            self.conv1 = conv_bn(nn.Conv2d(in_channels, in_channels, 1), norm_cfg)
            self.conv2 = conv_bn(nn.Conv2d(in_channels, out_channels, 1), norm_cfg)
        self.pool = _build_pool(stride, ada_pool)
        self.act = SeriesActivation(out_channels, act_num, norm_cfg, deploy)

    def forward(self, x: Tensor, act_lambda: float) -> Tensor:
        """Map `(N, in_channels, H, W)` to `(N, out_channels, H / stride, W / stride)`.

        Args:
            x: The feature.
            act_lambda: Slope of A' below zero; the deployed form has no A'.
        """
        if hasattr(self, "conv"):
            x = self.conv(x)
        else:
            x = self.conv2(deep_activation(self.conv1(x), act_lambda))
        return self.act(self.pool(x))
