"""Exact fusion of VanillaNet's training form into plain convolutions.

The algebra (`bn_scale_shift`, `fuse_conv_bn`, `fuse_pointwise`) works on tensors in
float64 and changes no modules; `fused_conv` rounds the result once and puts it into a new module.
Formulas: https://arxiv.org/abs/2305.12972, section 3.1.
"""

from typing import Optional

import torch
from torch import Tensor, nn

from ...errors import UserError
from .pointwise import PointwiseConv2d

WeightBias = tuple[Tensor, Tensor]


def bn_scale_shift(bn: nn.Module) -> WeightBias:
    """Return the scale and shift of a BatchNorm in evaluation mode, `y = scale * x + shift`.

    Any kind of BatchNorm works (BatchNorm1d to 3d, SyncBatchNorm, mmcv's own), with or
    without affine parameters.

    Args:
        bn: The BatchNorm; it needs running statistics.

    Returns:
        Scale and shift, float64, each of shape `(channels,)`.

    Raises:
        UserError: The BatchNorm has no running statistics.
    """
    mean, var = getattr(bn, "running_mean", None), getattr(bn, "running_var", None)
    if mean is None or var is None:
        raise UserError(
            f"fusion: {type(bn).__name__} has no running statistics, so it isn't a linear "
            "map; train it with track_running_stats=True"
        )
    scale = (var.detach().double() + bn.eps).rsqrt()
    if bn.weight is not None:
        scale = scale * bn.weight.detach().double()
    shift = -mean.detach().double() * scale
    if bn.bias is not None:
        shift = shift + bn.bias.detach().double()
    return scale, shift


def fuse_conv_bn(weight: Tensor, bias: Optional[Tensor], bn: nn.Module) -> WeightBias:
    """Fold a BatchNorm into the convolution before it.

    Args:
        weight: Kernel of shape `(out, in / groups, k_h, k_w)`.
        bias: Shape `(out,)`, or None for a convolution without one.
        bn: The BatchNorm over the `out` channels.

    Returns:
        Kernel and bias of the fused convolution, float64.

    Raises:
        UserError: The BatchNorm has no running statistics.
    """
    scale, shift = bn_scale_shift(bn)
    if bias is not None:
        shift = shift + scale * bias.detach().double()
    return weight.detach().double() * scale[:, None, None, None], shift


def fuse_pointwise(first: WeightBias, second: WeightBias) -> WeightBias:
    """Fuse a 1x1 convolution with the convolution before it.

    Args:
        first: Kernel `(mid, in, k_h, k_w)` and bias `(mid,)` of the first convolution.
        second: Kernel `(out, mid, 1, 1)` and bias `(out,)` of the 1x1 convolution.

    Returns:
        Kernel `(out, in, k_h, k_w)` and bias `(out,)` of the fused convolution.
    """
    (weight1, bias1), (weight2, bias2) = first, second
    matrix = weight2.flatten(1)
    # einsum may return a transposed view, and a kernel's strides determine the memory layout of
    # every later layer.
    weight = (matrix @ weight1.flatten(1)).view(-1, *weight1.shape[1:])
    return weight, matrix @ bias1 + bias2


def round_fused(value: Tensor, dtype: torch.dtype, name: str) -> Tensor:
    """Round a fused kernel or bias to the precision of the network, once.

    Args:
        value: Kernel or bias of any shape, float64.
        dtype: Precision of the network.
        name: Name of the layer in error messages.

    Returns:
        The rounded tensor.

    Raises:
        UserError: Values exceed the range of `dtype`, which a small running variance can cause in
            float16, or are not finite.
    """
    rounded = value.to(dtype)
    if not (value.is_meta or rounded.isfinite().all()):
        reason = (
            f"values up to {float(value.abs().max()):.3g} don't fit into {dtype}; fuse in float32 "
            "or bfloat16"
            if value.isfinite().all()
            else "weights or running statistics are not finite because training diverged; use an "
            "earlier checkpoint"
        )
        raise UserError(f"fusion of {name}: {reason}")
    return rounded


def fused_conv(
    like: nn.Conv2d, weight: Tensor, bias: Tensor, name: str = "a convolution"
) -> nn.Conv2d:
    """Build a new, contiguous convolution from a fused kernel.

    Args:
        like: The convolution to copy the stride, padding, dtype, device and mode from.
        weight: Kernel of shape `(out, in, k_h, k_w)`, float64.
        bias: Bias of shape `(out,)`, float64.
        name: Name of the layer in error messages.

    Returns:
        A new convolution with the rounded kernel.

    Raises:
        UserError: The kernel doesn't fit the precision of `like`.
    """
    weight, bias = (round_fused(value, like.weight.dtype, name) for value in (weight, bias))
    geometry = dict(stride=like.stride, padding=like.padding)
    if weight.shape[2:] == (1, 1) and geometry == dict(stride=(1, 1), padding=(0, 0)):
        kind, geometry = PointwiseConv2d, {}
    else:
        kind, geometry = nn.Conv2d, dict(geometry, kernel_size=weight.shape[2:])
    # Skip initialisation, because it would draw random numbers during training.
    conv = nn.utils.skip_init(
        kind,
        weight.shape[1],
        weight.shape[0],
        **geometry,
        device=like.weight.device,
        dtype=like.weight.dtype,
    )
    with torch.no_grad():
        conv.weight.copy_(weight)
        conv.bias.copy_(bias)
    return conv.train(like.training)


def fold_pixels(
    conv: nn.Conv2d, mean: Tensor, std: Tensor, flip: bool, name: str
) -> Optional[nn.Conv2d]:
    """Fold the normalisation of images into the convolution that reads them.

    Args:
        conv: A convolution with a bias.
        mean: Mean of each channel, in the order of the normalised image, float64.
        std: Standard deviation of each channel, in the same order, float64.
        flip: Whether the pixels have their channels in the opposite order.
        name: Name of the layer in error messages.

    Returns:
        A new convolution for raw pixels; None if the convolution pads images with zeros, computes
        in 16 bits, or takes another number of channels.

    Raises:
        UserError: The folded kernel doesn't fit the convolution's precision.
    """
    # In 16 bits a kernel for pixels is less exact than one for normalised images.
    exact = conv.weight.dtype in (torch.float32, torch.float64)
    if conv.padding != (0, 0) or not exact or len(mean) != conv.in_channels:
        return None
    weight = conv.weight.detach().double() / std.to(conv.weight.device)[:, None, None]
    shift = (weight * mean.to(weight)[:, None, None]).sum((1, 2, 3))
    weight = weight.flip(1) if flip else weight
    return fused_conv(conv, weight, conv.bias.detach().double() - shift, name)
