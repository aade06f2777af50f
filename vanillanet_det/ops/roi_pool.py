"""RoI max pooling, https://arxiv.org/abs/1504.08083, section 2.1.

torchvision's op first rounds the corners of a RoI to whole pixels; mmcv's op doesn't.
"""

import torch
from torch import Tensor

from .registry import op, widen
from .roi_grid import flat_index, pixel_rows


@op
def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Find the largest pixel of each bin of each RoI.

    Args:
        input: Shape `(n, c, h, w)`.
        rois: Image index and corners x1, y1, x2, y2, shape `(k, 5)`.
        output: Filled, shape `(k, c, pooled_height, pooled_width)`; 0 for a bin outside the
            feature map. As in mmcv, RoIs with a negative size are not filled.
        argmax: Filled with the index of the largest pixel, int32, shape of `output`; -1 for a bin
            without pixels.
        pooled_height: Vertical number of bins.
        pooled_width: Horizontal number of bins.
        spatial_scale: Factor from corners to pixels of the feature map.
    """
    features = widen(input)
    rois = rois.to(features.dtype)
    start = rois[:, 1:3] * spatial_scale
    size = (rois[:, 3:5] + 1) * spatial_scale - start
    good = (size > 0).all(1).nonzero().squeeze(1)
    if good.numel() == 0 or output.numel() == 0:
        return
    start_x, start_y = start[good].unbind(1)
    size_x, size_y = size[good].unbind(1)
    top, bottom = _edges(start_y, size_y, pooled_height, input.shape[2])
    left, right = _edges(start_x, size_x, pooled_width, input.shape[3])
    largest, pixel = _largest(
        features,
        rois[good, 0].long(),
        (top[:, :, None], bottom[:, :, None]),
        (left[:, None], right[:, None]),
    )
    output[good] = largest.permute(0, 3, 1, 2).to(output.dtype)
    argmax[good] = pixel.permute(0, 3, 1, 2).to(argmax.dtype)


@op
def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Compute the derivative of `roi_pool_forward` with respect to its input.

    Args:
        grad_output: Shape `(k, c, pooled_height, pooled_width)`.
        rois: Image index and corners, shape `(k, 5)`.
        argmax: As filled by `roi_pool_forward`.
        grad_input: Added to, shape `(n, c, h, w)`.
        pooled_height: Vertical number of bins.
        pooled_width: Horizontal number of bins.
        spatial_scale: Factor from corners to pixels of the feature map.
    """
    grad = widen(grad_output).masked_fill(argmax == -1, 0)
    index = flat_index(rois[:, 0].long(), argmax.long().clamp(min=0), grad_input.shape)
    by_input = grad.new_zeros(grad_input.numel())
    by_input.scatter_add_(0, index.flatten(), grad.flatten())
    grad_input.add_(by_input.view(grad_input.shape))


def _edges(start: Tensor, size: Tensor, bins: int, limit: int) -> tuple[Tensor, Tensor]:
    """Return each bin's first pixel and the first pixel after it, int64 of shape `(k, bins)`."""
    step = (size / bins)[:, None]
    number = torch.arange(bins + 1, device=start.device)
    border = number * step + start[:, None]
    first, after = border[:, :-1].floor(), border[:, 1:].ceil()
    return first.clamp(0, limit).long(), after.clamp(0, limit).long()


def _largest(
    features: Tensor,
    image: Tensor,
    vertical: tuple[Tensor, Tensor],
    horizontal: tuple[Tensor, Tensor],
) -> tuple[Tensor, Tensor]:
    """Return the largest pixel and its index, each of shape `(k, *bins, c)`."""
    height, width = features.shape[2:]
    rows = pixel_rows(features)
    (top, bottom), (left, right) = vertical, horizontal
    empty = ((bottom <= top) | (right <= left))[..., None]
    shape = (*empty.shape[:3], features.shape[1])
    best = features.new_full(shape, torch.finfo(torch.float32).min).masked_fill(empty, 0)
    number = torch.full(shape, -1, device=features.device)
    # Replace a pixel only by a strictly larger one, so that the first of equal pixels is kept.
    for dy in range(int((bottom - top).max())):
        for dx in range(int((right - left).max())):
            y, x = top + dy, left + dx
            inside = (y < bottom) & (x < right)
            chosen = inside.flatten(1).any(1).nonzero().squeeze(1)
            pixel = (y * width + x)[chosen].masked_fill(~inside[chosen], 0)
            offset = (image[chosen] * (height * width))[:, None, None]
            value = rows[offset + pixel]
            better = inside[chosen][..., None] & (value > best[chosen])
            best[chosen] = torch.where(better, value, best[chosen])
            number[chosen] = torch.where(better, pixel[..., None], number[chosen])
    return best, number
