"""RoIAlign, https://arxiv.org/abs/1703.06870, section 3.

The mean uses torchvision's kernel. The maximum is computed here, because torchvision lacks it.
"""

from concurrent.futures import ThreadPoolExecutor

import torch
import torchvision  # noqa: F401  registers torch.ops.torchvision
from torch import Tensor

from .registry import is_traced, op, widen
from .roi_grid import Corners, RoIGrid, flat_index, pixel_rows

MAX, AVG = range(2)
LEAST_ROIS = 8  # per thread


@op
def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Compute the mean or the maximum of interpolated samples in each bin of each RoI.

    Args:
        input: Shape `(n, c, h, w)`.
        rois: Image index and corners x1, y1, x2, y2, shape `(k, 5)`.
        output: Filled, shape `(k, c, aligned_height, aligned_width)`.
        argmax_y: In mode 0, filled with the y position of the maximum in the feature map, -1 if
            there is none; shape of `output`.
        argmax_x: In mode 0, filled with the x position of the maximum.
        aligned_height: Vertical number of bins.
        aligned_width: Horizontal number of bins.
        spatial_scale: Factor from corners to pixels of the feature map.
        sampling_ratio: Samples along each side of a bin; 0 for about one per pixel.
        pool_mode: 0 for the maximum, 1 for the mean.
        aligned: Whether to shift by half a pixel.

    Raises:
        RuntimeError: An aligned RoI has a negative size. As in mmcv, this is checked only on the
            CPU, where the check needs no synchronisation. An exported op doesn't check it.
    """
    bins = (aligned_height, aligned_width)
    features = widen(input)
    rois = rois.to(features.dtype)
    if aligned and not rois.is_cuda and not is_traced():
        _check_sizes(rois, spatial_scale)
    if pool_mode == AVG:
        output.copy_(_mean(features, rois, (spatial_scale, *bins, sampling_ratio, aligned)))
    else:
        grid = RoIGrid(rois, bins, spatial_scale, sampling_ratio, aligned)
        for buffer, result in zip((output, argmax_y, argmax_x), _maximum(features, grid)):
            buffer.copy_(result.permute(0, 3, 1, 2))


def _mean(features: Tensor, rois: Tensor, how: tuple) -> Tensor:
    features = features.contiguous()  # otherwise, torchvision would copy it in each call

    @torch.no_grad()  # the mode is set per thread
    def pool(rois: Tensor) -> Tensor:
        return torch.ops.torchvision.roi_align(features, rois, *how)

    # torchvision's CPU kernel uses only one thread.
    if is_traced() or rois.device.type != "cpu":
        return pool(rois)
    threads = min(torch.get_num_threads(), len(rois) // LEAST_ROIS)
    if threads < 2:
        return pool(rois)
    with ThreadPoolExecutor(threads) as executor:
        # Use more chunks than threads, because large RoIs take longer.
        return torch.cat(list(executor.map(pool, rois.chunk(4 * threads))))


@op
def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Compute the derivative of `roi_align_forward` with respect to its input.

    Args:
        grad_output: Shape `(k, c, aligned_height, aligned_width)`.
        rois: Image index and corners x1, y1, x2, y2, shape `(k, 5)`.
        argmax_y: As filled by `roi_align_forward`.
        argmax_x: As filled by `roi_align_forward`.
        grad_input: Added to, shape `(n, c, h, w)`.
        aligned_height: Vertical number of bins.
        aligned_width: Horizontal number of bins.
        spatial_scale: Factor from corners to pixels of the feature map.
        sampling_ratio: Samples along each side of a bin; 0 for about one per pixel.
        pool_mode: 0 for the maximum, 1 for the mean.
        aligned: Whether to shift by half a pixel.
    """
    if grad_output.numel() == 0:
        return
    grad = widen(grad_output)
    rois = rois.to(grad.dtype)
    if pool_mode == AVG:
        bins = (aligned_height, aligned_width)
        # Call torchvision's backward op: autograd would need the input, or a second forward pass.
        by_input = torch.ops.torchvision._roi_align_backward(
            grad, rois, spatial_scale, *bins, *grad_input.shape, sampling_ratio, aligned
        )
    else:
        y, x = argmax_y.to(grad.dtype), argmax_x.to(grad.dtype)
        by_input = _maximum_backward(grad, rois[:, 0].long(), y, x, grad_input.shape)
    grad_input.add_(by_input)


def _check_sizes(rois: Tensor, spatial_scale: float) -> None:
    start, end = rois[:, 1:3] * spatial_scale - 0.5, rois[:, 3:5] * spatial_scale - 0.5
    bad = ~(end - start >= 0).all(1)  # a NaN is bad too
    if bad.any():
        index = int(bad.nonzero()[0])
        raise RuntimeError(
            f"roi_align: RoI {index}, {rois[index].tolist()} (image, x1, y1, x2, y2), has a "
            "negative or undefined size; expected x1 <= x2 and y1 <= y2"
        )


def _maximum(features: Tensor, grid: RoIGrid) -> tuple[Tensor, Tensor, Tensor]:
    """Return the maximum and its y and x positions, each of shape `(k, *bins, c)`."""
    height, width = features.shape[2:]
    rows = pixel_rows(features)
    shape = (grid.image.shape[0], *grid.bins, features.shape[1])
    # This value remains if no sample is larger; mmcv's CPU and CUDA kernels use different values.
    lowest = torch.finfo(torch.float32).min if features.is_cuda else -10000.0
    best = features.new_full(shape, lowest)
    best_y, best_x = features.new_full(shape, -1), features.new_full(shape, -1)
    for chosen, y, x in grid.samples():
        corners = Corners.around(y, x, height, width)
        image = (grid.image[chosen] * (height * width))[:, None, None]
        value = sum(
            weight[..., None] * rows[image + index]
            for weight, index in zip(corners.weights, corners.indices(width))
        )
        better = value > best[chosen]  # strictly, so that the first of equal samples wins
        for kept, new in ((best, value), (best_y, y[..., None]), (best_x, x[..., None])):
            kept[chosen] = torch.where(better, new, kept[chosen])
    return best, best_y, best_x


def _maximum_backward(
    grad: Tensor, image: Tensor, y: Tensor, x: Tensor, shape: torch.Size
) -> Tensor:
    height, width = shape[2:]
    grad = grad.masked_fill(y == -1, 0)
    corners = Corners.around(y, x, height, width)
    by_input = grad.new_zeros(shape.numel())
    for weight, pixel in zip(corners.weights, corners.indices(width)):
        index = flat_index(image, pixel, shape)
        by_input.scatter_add_(0, index.flatten(), (weight * grad).flatten())
    return by_input.view(shape)
