"""Deformable RoI pooling, https://arxiv.org/abs/1703.06211, section 2.2.

This is RoIAlign's mean with shifted bins; without offsets, the results are equal.
"""

import torch
from torch import Tensor

from .registry import op, widen
from .roi_grid import Corners, RoIGrid, pixel_rows


@op
def deform_roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    offset: Tensor,
    output: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> None:
    """Compute the mean of interpolated samples in each shifted bin of each RoI.

    Args:
        input: Shape `(n, c, h, w)`.
        rois: Image index and corners x1, y1, x2, y2, shape `(k, 5)`.
        offset: Shift of each bin in x and y, as a fraction of `gamma` times the RoI's size,
            shape `(k, 2, pooled_height, pooled_width)`, or empty for none.
        output: Filled, shape `(k, c, pooled_height, pooled_width)`.
        pooled_height: Vertical number of bins.
        pooled_width: Horizontal number of bins.
        spatial_scale: Factor from corners to pixels of the feature map.
        sampling_ratio: Samples along each side of a bin; 0 for about one per pixel.
        gamma: Factor of the offsets.
    """
    features = widen(input)
    height, width = features.shape[2:]
    bins = (pooled_height, pooled_width)
    grid = _moved(rois.to(features.dtype), offset, bins, spatial_scale, sampling_ratio, gamma)
    rows = pixel_rows(features)
    total = features.new_zeros(rois.shape[0], *bins, features.shape[1])
    for chosen, y, x in grid.samples():
        corners = Corners.around(y, x, height, width)
        image = (grid.image[chosen] * (height * width))[:, None, None]
        for weight, index in zip(corners.weights, corners.indices(width)):
            total[chosen] += weight[..., None] * rows[image + index]
    output.copy_((total / grid.count[..., None]).permute(0, 3, 1, 2))


@op
def deform_roi_pool_backward(
    grad_output: Tensor,
    input: Tensor,
    rois: Tensor,
    offset: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> None:
    """Compute the derivatives of `deform_roi_pool_forward`.

    Args:
        grad_output: Shape `(k, c, pooled_height, pooled_width)`.
        input: Shape `(n, c, h, w)`.
        rois: Image index and corners x1, y1, x2, y2, shape `(k, 5)`.
        offset: Shape `(k, 2, pooled_height, pooled_width)`, or empty for none.
        grad_input: Added to, shape of `input`.
        grad_offset: Added to, shape of `offset`.
        pooled_height: Vertical number of bins.
        pooled_width: Horizontal number of bins.
        spatial_scale: Factor from corners to pixels of the feature map.
        sampling_ratio: Samples along each side of a bin; 0 for about one per pixel.
        gamma: Factor of the offsets.
    """
    if grad_output.numel() == 0:
        return
    features = widen(input)
    n, channels, height, width = features.shape
    bins = (pooled_height, pooled_width)
    grid = _moved(rois.to(features.dtype), offset, bins, spatial_scale, sampling_ratio, gamma)
    rows = pixel_rows(features)
    by_rows = torch.zeros_like(rows)
    by_offset = features.new_zeros(len(rois), 2, *bins)
    grads = widen(grad_output).permute(0, 2, 3, 1) / grid.count[..., None]
    for chosen, y, x in grid.samples():
        corners = Corners.around(y, x, height, width)
        image = (grid.image[chosen] * (height * width))[:, None, None]
        indices = [image + index for index in corners.indices(width)]
        grad = grads[chosen]
        for weight, index in zip(corners.weights, indices):
            by_rows.index_add_(0, index.flatten(), (weight[..., None] * grad).flatten(0, 2))
        if offset.numel():
            by_position = _by_position(y, x, corners, [rows[i] for i in indices], grad)
            by_offset[chosen] += torch.stack(by_position, 1)
    grad_input.add_(by_rows.view(n, height, width, channels).permute(0, 3, 1, 2))
    if offset.numel():
        size = torch.stack([grid.width, grid.height], 1)
        grad_offset.add_(gamma * size * by_offset)


def _moved(
    rois: Tensor,
    offset: Tensor,
    bins: tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> RoIGrid:
    grid = RoIGrid(rois, bins, spatial_scale, sampling_ratio, aligned=True)
    if offset.ndim > 1:
        move_x, move_y = offset.to(rois.dtype).unbind(1)
        grid.start_x = grid.start_x + gamma * grid.width * move_x
        grid.start_y = grid.start_y + gamma * grid.height * move_y
    return grid


def _by_position(
    y: Tensor, x: Tensor, corners: Corners, pixels: list[Tensor], grad: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the derivatives of the sampled values by x and y, each of shape `(chosen, *bins)`.

    As in mmcv, samples beyond the border use their true position here, not the clamped position,
    so that bins outside the map still get a gradient.
    """
    top_left, top_right, bottom_left, bottom_right = ((grad * p).sum(-1) for p in pixels)
    below, above = y - corners.y_low, corners.y_high - y
    right, left = x - corners.x_low, corners.x_high - x
    by_x = (bottom_right - bottom_left) * below + (top_right - top_left) * above
    by_y = (bottom_right - top_right) * right + (bottom_left - top_left) * left
    return by_x.masked_fill(corners.outside, 0), by_y.masked_fill(corners.outside, 0)
