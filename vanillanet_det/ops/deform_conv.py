"""Deformable convolution, versions 1 and 2 (modulated), built on top of torchvision's kernels.

https://arxiv.org/abs/1703.06211 and https://arxiv.org/abs/1811.11168. torchvision has one
kernel for both versions. The scratch buffers and the `im2col_step` of mmcv's signatures don't
affect the results and aren't used.
"""

from typing import Any, Optional

import torch
import torch.nn.functional as F
import torchvision  # noqa: F401  registers torch.ops.torchvision
from torch import Tensor

from .registry import op, widen

# mmcv's names for torchvision's arguments, in torchvision's order.
_V1 = ("dH", "dW", "padH", "padW", "dilationH", "dilationW", "group", "deformable_group")
_V2 = (
    "stride_h",
    "stride_w",
    "pad_h",
    "pad_w",
    "dilation_h",
    "dilation_w",
    "group",
    "deformable_group",
)


@op
def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    **conv: Any,
) -> None:
    """Compute a deformable convolution without bias.

    Args:
        input: Shape `(n, in, h, w)`.
        weight: Shape `(out, in / groups, k_h, k_w)`.
        offset: Pairs y, x, shape `(n, deform_groups * k_h * k_w * 2, h_out, w_out)`.
        output: Filled, shape `(n, out, h_out, w_out)`.
        columns: Unused.
        ones: Unused.
        **conv: Geometry by mmcv's names: kW, kH, dW, dH (strides), padW, padH, dilationW,
            dilationH, group, deformable_group, im2col_step.
    """
    output.copy_(_forward(_geometry(conv, _V1), input, weight, offset))


@op
def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    **conv: Any,
) -> None:
    """Compute the derivatives of `deform_conv_forward` with respect to input and offset.

    Args:
        input: Shape `(n, in, h, w)`.
        offset: Shape `(n, deform_groups * k_h * k_w * 2, h_out, w_out)`.
        grad_output: Shape `(n, out, h_out, w_out)`.
        grad_input: Added to, shape of `input`.
        grad_offset: Filled, shape of `offset`.
        weight: Shape `(out, in / groups, k_h, k_w)`.
        columns: Unused.
        **conv: Geometry as in `deform_conv_forward`.
    """
    grads = _backward(_geometry(conv, _V1), grad_output, input, weight, offset)
    grad_input.add_(grads[0])
    grad_offset.copy_(grads[2])


@op
def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    scale: float,
    **conv: Any,
) -> None:
    """Compute the derivative of `deform_conv_forward` with respect to the weight.

    Args:
        input: Shape `(n, in, h, w)`.
        offset: Shape `(n, deform_groups * k_h * k_w * 2, h_out, w_out)`.
        grad_output: Shape `(n, out, h_out, w_out)`.
        grad_weight: Added to, shape `(out, in / groups, k_h, k_w)`.
        columns: Unused.
        ones: Unused.
        scale: Factor of the added gradient.
        **conv: Geometry as in `deform_conv_forward`.
    """
    # The derivative depends on the weight's shape only.
    weight = torch.zeros_like(grad_weight)
    grads = _backward(_geometry(conv, _V1), grad_output, input, weight, offset)
    grad_weight.add_(grads[1], alpha=scale)


@op
def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    with_bias: bool,
    **conv: Any,
) -> None:
    """Compute a modulated deformable convolution.

    Args:
        input: Shape `(n, in, h, w)`.
        weight: Shape `(out, in / groups, k_h, k_w)`.
        bias: Shape `(out,)`; used only `with_bias`.
        ones: Unused.
        offset: Pairs y, x, shape `(n, deform_groups * k_h * k_w * 2, h_out, w_out)`; see
            `_as_read` for larger maps.
        mask: Shape `(n, deform_groups * k_h * k_w, h_out, w_out)`; see `_as_read` for larger maps.
        output: Filled, shape `(n, out, h_out, w_out)`.
        columns: Unused.
        with_bias: Whether there is a bias.
        **conv: Geometry by mmcv's names: kernel_h, kernel_w, stride_h, stride_w, pad_h,
            pad_w, dilation_h, dilation_w, group, deformable_group.
    """
    bias = bias if with_bias else None
    offset, mask = _as_read(offset, output), _as_read(mask, output)
    output.copy_(_forward(_geometry(conv, _V2), input, weight, offset, mask, bias))


@op
def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    with_bias: bool,
    **conv: Any,
) -> None:
    """Compute all derivatives of `modulated_deform_conv_forward`.

    Args:
        input: Shape `(n, in, h, w)`.
        weight: Shape `(out, in / groups, k_h, k_w)`.
        bias: Shape `(out,)`; used only `with_bias`.
        ones: Unused.
        offset: Shape `(n, deform_groups * k_h * k_w * 2, h_out, w_out)`.
        mask: Shape `(n, deform_groups * k_h * k_w, h_out, w_out)`.
        columns: Unused.
        grad_input: Added to, shape of `input`.
        grad_weight: Added to, shape of `weight`.
        grad_bias: Added to if `with_bias`, shape of `bias`.
        grad_offset: Filled, shape of `offset`.
        grad_mask: Filled, shape of `mask`.
        grad_output: Shape `(n, out, h_out, w_out)`.
        with_bias: Whether there is a bias.
        **conv: Geometry as in `modulated_deform_conv_forward`.
    """
    read = _as_read(offset, grad_output), _as_read(mask, grad_output)
    by_input, by_weight, by_offset, by_mask, by_bias = _backward(
        _geometry(conv, _V2), grad_output, input, weight, *read
    )
    grad_input.add_(by_input)
    grad_weight.add_(by_weight)
    for buffer, grad in ((grad_offset, by_offset), (grad_mask, by_mask)):
        unread = buffer.shape[1:].numel() - grad.shape[1:].numel()
        buffer.copy_(F.pad(grad.flatten(1), (0, unread)).view(buffer.shape))
    if with_bias:
        grad_bias.add_(by_bias)


def _geometry(conv: dict[str, int], names: tuple[str, ...]) -> list[int]:
    return [conv[name] for name in names]


def _as_read(tensor: Tensor, output: Tensor) -> Tensor:
    """Reshape offsets or a mask as mmcv's kernel reads them.

    The kernel doesn't check the height and width; it reads the memory of each image as maps of the
    output's size. MMDetection's DyHead passes the offsets of one pyramid level to the next, smaller
    level, and its published weights were trained with the values read this way.

    Args:
        tensor: Shape `(n, maps, h, w)`.
        output: Shape `(n, out, h_out, w_out)`.

    Returns:
        The first values of each image, shape `(n, maps, h_out, w_out)`.
    """
    n, maps = tensor.shape[:2]
    size = output.shape[2:]
    count = size[0] * size[1]
    if tensor.shape[2] * tensor.shape[3] < count:
        return tensor  # torchvision raises an error; mmcv reads past the end
    return tensor.flatten(1)[:, : maps * count].reshape(n, maps, *size)


def _forward(
    geometry: list[int],
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Optional[Tensor] = None,
    bias: Optional[Tensor] = None,
) -> Tensor:
    tensors = _complete(input, weight, offset, mask, bias)
    return torch.ops.torchvision.deform_conv2d(*tensors, *geometry, mask is not None)


def _backward(
    geometry: list[int],
    grad_output: Tensor,
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Optional[Tensor] = None,
) -> tuple[Tensor, ...]:
    """Return the gradients with respect to input, weight, offset, mask and bias.

    This calls torchvision's backward op, because autograd would repeat the forward pass. At a
    distance of exactly one pixel from the map, torchvision returns the slope towards the map as
    the derivative by the position; mmcv returns 0.
    """
    tensors = _complete(input, weight, offset, mask, None)
    by_input, by_weight, by_offset, by_mask, by_bias = (
        torch.ops.torchvision._deform_conv2d_backward(
            widen(grad_output), *tensors, *geometry, mask is not None
        )
    )
    outside = _outside(geometry, input, weight, tensors[2])
    return by_input, by_weight, by_offset.masked_fill(outside, 0), by_mask, by_bias


def _outside(geometry: list[int], input: Tensor, weight: Tensor, offset: Tensor) -> Tensor:
    """Return which samples lie at least a pixel outside the map, in the shape of `offset`."""

    def grid(axis: int) -> Tensor:
        stride, padding, dilation = geometry[axis:6:2]
        taps, places = (
            torch.arange(tensor.shape[2 + axis], device=offset.device)
            for tensor in (weight, offset)
        )
        return taps[:, None] * dilation + places * stride - padding

    pairs = offset.unflatten(1, (-1, *weight.shape[2:], 2))
    y, x = pairs.unbind(-3)  # n, deform_groups, k_h, k_w, h_out, w_out
    y, x = y + grid(0)[:, None, :, None], x + grid(1)[:, None]
    height, width = input.shape[2:]
    outside = (y <= -1) | (y >= height) | (x <= -1) | (x >= width)
    return outside.unsqueeze(-3).expand_as(pairs).flatten(1, 4)


def _complete(
    input: Tensor, weight: Tensor, offset: Tensor, mask: Optional[Tensor], bias: Optional[Tensor]
) -> list[Tensor]:
    """Replace missing tensors with zeros, as torchvision.ops.deform_conv2d does."""
    mask = input.new_zeros(input.shape[0], 1) if mask is None else mask
    bias = input.new_zeros(len(weight)) if bias is None else bias
    return [widen(tensor) for tensor in (input, weight, offset, mask, bias)]
