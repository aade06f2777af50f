"""Content-aware reassembly of features, https://arxiv.org/abs/1905.02188, equation 4.

Every output pixel is a weighted sum of the `kernel_size`^2 input pixels around its source.
The sum is computed tap by tap, so that no unfolded copy of the features is needed.
"""

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor

from .registry import op, widen


@op
def carafe_naive_forward(
    features: Tensor,
    masks: Tensor,
    output: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Compute the upsampled features.

    Args:
        features: Shape `(n, channels, h, w)`.
        masks: Shape `(n, group_size * kernel_size^2, h * scale, w * scale)`.
        output: Filled, shape `(n, channels, h * scale, w * scale)`.
        kernel_size: Odd size of the neighbourhood.
        group_size: Number of channel groups, each with its own masks.
        scale_factor: Upsampling factor.
    """
    window, weights, blocks = _views(features, masks, output, kernel_size, group_size, scale_factor)
    total = widen(blocks).new_zeros(blocks.shape)
    for tap, pixels in _taps(window, kernel_size):
        total.addcmul_(pixels[..., None, :, None], weights[:, :, tap, None])
    output.copy_(total.view(output.shape))


@op
def carafe_naive_backward(
    top_grad: Tensor,
    features: Tensor,
    masks: Tensor,
    bottom_grad: Tensor,
    mask_grad: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Compute the derivatives of `carafe_naive_forward`.

    Args:
        top_grad: Shape `(n, channels, h * scale, w * scale)`.
        features: Shape `(n, channels, h, w)`.
        masks: Shape `(n, group_size * kernel_size^2, h * scale, w * scale)`.
        bottom_grad: Added to, shape of `features`.
        mask_grad: Added to, shape of `masks`.
        kernel_size: Odd size of the neighbourhood.
        group_size: Number of channel groups, each with its own masks.
        scale_factor: Upsampling factor.
    """
    window, weights, blocks = _views(
        features, masks, top_grad, kernel_size, group_size, scale_factor
    )
    blocks = widen(blocks)
    by_window, by_weights = window.new_zeros(window.shape), weights.new_zeros(weights.shape)
    grads = _taps(by_window, kernel_size)
    for (tap, pixels), (_, by_pixels) in zip(_taps(window, kernel_size), grads):
        by_pixels += (blocks * weights[:, :, tap, None]).sum((-3, -1))
        by_weights[:, :, tap] = (blocks * pixels[..., None, :, None]).sum(2)
    edge = kernel_size // 2
    height, width = features.shape[-2:]
    inner = by_window[..., edge : edge + height, edge : edge + width]
    bottom_grad.add_(inner.reshape(features.shape))
    mask_grad.add_(by_weights.view(masks.shape))


@op
def carafe_forward(
    features: Tensor,
    masks: Tensor,
    rfeatures: Tensor,
    routput: Tensor,
    rmasks: Tensor,
    output: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Compute the upsampled features, as `carafe_naive_forward` does.

    mmcv has a second, faster kernel for the same sum, which uses transposed copies.

    Args:
        features: Shape `(n, channels, h, w)`.
        masks: Shape `(n, group_size * kernel_size^2, h * scale, w * scale)`.
        rfeatures: Filled with the features for `carafe_backward`, shape of `features`.
        routput: Unused.
        rmasks: Unused.
        output: Filled, shape `(n, channels, h * scale, w * scale)`.
        kernel_size: Odd size of the neighbourhood.
        group_size: Number of channel groups, each with its own masks.
        scale_factor: Upsampling factor.
    """
    rfeatures.copy_(features)
    carafe_naive_forward(features, masks, output, kernel_size, group_size, scale_factor)


@op
def carafe_backward(
    top_grad: Tensor,
    rfeatures: Tensor,
    masks: Tensor,
    rtop_grad: Tensor,
    rbottom_grad_hs: Tensor,
    rbottom_grad: Tensor,
    rmask_grad: Tensor,
    bottom_grad: Tensor,
    mask_grad: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Compute the derivatives of `carafe_forward`.

    Args:
        top_grad: Shape `(n, channels, h * scale, w * scale)`.
        rfeatures: The features, as filled by `carafe_forward`.
        masks: Shape `(n, group_size * kernel_size^2, h * scale, w * scale)`.
        rtop_grad: Unused.
        rbottom_grad_hs: Unused.
        rbottom_grad: Unused.
        rmask_grad: Unused.
        bottom_grad: Added to, shape of the features.
        mask_grad: Added to, shape of `masks`.
        kernel_size: Odd size of the neighbourhood.
        group_size: Number of channel groups, each with its own masks.
        scale_factor: Upsampling factor.
    """
    buffers = (bottom_grad, mask_grad)
    carafe_naive_backward(
        top_grad, rfeatures, masks, *buffers, kernel_size, group_size, scale_factor
    )


def _views(
    features: Tensor, masks: Tensor, upsampled: Tensor, kernel_size: int, groups: int, scale: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Split channels into groups, and upsampled pixels into blocks with the same source pixel.

    Returns:
        Padded features `(n, groups, channels / groups, h + k - 1, w + k - 1)`, masks
        `(n, groups, k^2, h, scale, w, scale)` and upsampled features
        `(n, groups, channels / groups, h, scale, w, scale)`.
    """
    n, channels, height, width = features.shape
    edge = kernel_size // 2
    window = F.pad(widen(features), (edge, edge, edge, edge))
    blocks = (height, scale, width, scale)
    return (
        window.view(n, groups, channels // groups, *window.shape[-2:]),
        widen(masks).reshape(n, groups, kernel_size**2, *blocks),
        upsampled.reshape(n, groups, channels // groups, *blocks),
    )


def _taps(window: Tensor, kernel_size: int) -> Iterator[tuple[int, Tensor]]:
    """Yield the index and the view `(n, groups, channels / groups, h, w)` of each window shift."""
    height, width = (size - kernel_size + 1 for size in window.shape[-2:])
    for tap in range(kernel_size**2):
        y, x = divmod(tap, kernel_size)
        yield tap, window[..., y : y + height, x : x + width]
