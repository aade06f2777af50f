"""Multi-scale deformable attention, https://arxiv.org/abs/2010.04159, equation 3."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .registry import op, widen


@op
def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Sum values sampled from several feature maps.

    Args:
        value: Values of all levels, shape `(n, keys, heads, channels)`.
        value_spatial_shapes: Height and width of each level, int64 of shape `(levels, 2)`.
        value_level_start_index: First key of each level, int64 of shape `(levels,)`.
        sampling_locations: x and y as fractions of width and height, shape
            `(n, queries, heads, levels, points, 2)`.
        attention_weights: Shape `(n, queries, heads, levels, points)`.
        im2col_step: Unused, because it doesn't affect the result.

    Returns:
        The sums, shape `(n, queries, heads * channels)`, in the dtype of `value`.
    """
    levels = _levels(value_spatial_shapes, value_level_start_index)
    tensors = (value, sampling_locations, attention_weights)
    return _attend(*map(widen, tensors), levels).to(value.dtype)


@op
def ms_deform_attn_backward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Compute the derivatives of `ms_deform_attn_forward`.

    Args:
        value: Shape `(n, keys, heads, channels)`.
        value_spatial_shapes: Int64 of shape `(levels, 2)`.
        value_level_start_index: Int64 of shape `(levels,)`.
        sampling_locations: Shape `(n, queries, heads, levels, points, 2)`.
        attention_weights: Shape `(n, queries, heads, levels, points)`.
        grad_output: Shape `(n, queries, heads * channels)`.
        grad_value: Added to, shape of `value`.
        grad_sampling_loc: Added to, shape of `sampling_locations`.
        grad_attn_weight: Added to, shape of `attention_weights`.
        im2col_step: Unused, because it doesn't affect the result.
    """
    levels = _levels(value_spatial_shapes, value_level_start_index)
    value, locations, weights, grad = map(
        widen, (value, sampling_locations, attention_weights, grad_output)
    )
    value, weights = value.detach().requires_grad_(), weights.detach().requires_grad_()
    with torch.enable_grad():
        output = _attend(value, locations, weights, levels)
    by_value, by_weights = torch.autograd.grad(output, (value, weights), grad)
    grad_value.add_(by_value)
    grad_sampling_loc.add_(_by_location(value, locations, weights, levels, grad))
    grad_attn_weight.add_(by_weights)


def _levels(shapes: Tensor, starts: Tensor) -> list[tuple[int, int, int]]:
    return [(start, *shape) for start, shape in zip(starts.tolist(), shapes.tolist())]


def _attend(
    value: Tensor, locations: Tensor, weights: Tensor, levels: list[tuple[int, int, int]]
) -> Tensor:
    """Compute the attention with mmcv's grid_sample formulation, level by level.

    The running sum keeps only the samples of one level in memory at a time.
    """
    n, _, heads, channels = value.shape
    queries = locations.shape[1]
    output = value.new_zeros(n * heads, channels, queries)
    for level, (start, height, width) in enumerate(levels):
        maps = value[:, start : start + height * width].permute(0, 2, 3, 1)
        grid = 2 * locations[:, :, :, level].transpose(1, 2).flatten(0, 1) - 1
        sampled = F.grid_sample(
            maps.reshape(n * heads, channels, height, width), grid, align_corners=False
        )
        attention = weights[:, :, :, level].transpose(1, 2).flatten(0, 1)
        output = output + (sampled * attention[:, None]).sum(-1)
    return output.view(n, heads * channels, queries).transpose(1, 2).contiguous()


def _by_location(
    value: Tensor,
    locations: Tensor,
    weights: Tensor,
    levels: list[tuple[int, int, int]],
    grad: Tensor,
) -> Tensor:
    """Return the derivative by the locations, at the positions that mmcv's kernel computes.

    The slope changes where a position is an integer, as most are after an initialisation. There,
    grid_sample may round to the other side. Exactly one pixel outside the map, mmcv returns 0.
    """
    n, _, heads, channels = value.shape
    grad = grad.view(n, -1, heads, 1, channels)
    image = torch.arange(n, device=value.device)[:, None, None, None]
    head = torch.arange(heads, device=value.device)[:, None]
    slopes = []
    for level, (start, height, width) in enumerate(levels):
        size = locations.new_tensor([width, height])
        position = locations[:, :, :, level] * size - 0.5
        low = position.floor()
        corners = []
        for below, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
            x, y = low[..., 0].long() + right, low[..., 1].long() + below
            missing = (x < 0) | (x >= width) | (y < 0) | (y >= height)
            key = (start + y * width + x).masked_fill(missing, 0)
            corners.append((value[image, key, head] * grad).sum(-1).masked_fill(missing, 0))
        top_left, top_right, bottom_left, bottom_right = corners
        x, y = (position - low).unbind(-1)
        by_x = (top_right - top_left) * (1 - y) + (bottom_right - bottom_left) * y
        by_y = (bottom_left - top_left) * (1 - x) + (bottom_right - top_right) * x
        slope = torch.stack([by_x, by_y], -1) * weights[:, :, :, level, :, None] * size
        inside = ((position > -1) & (position < size)).all(-1, keepdim=True)
        slopes.append(slope.masked_fill(~inside, 0))
    return torch.stack(slopes, 3)
