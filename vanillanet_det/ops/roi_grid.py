"""Sampling positions of RoI ops, and bilinear interpolation.

Positions are computed with the same order of float operations as in mmcv's kernels, because max
pooling must find the same sample. Tensors span RoIs and bins; a Python loop iterates over the few
samples of a bin, so that memory doesn't grow with the number of samples.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple, Union

import torch
from torch import Tensor


class RoIGrid:
    """Regular samples inside the bins of RoIs.

    Args:
        rois: Image index and corners x1, y1, x2, y2, shape `(k, 5)`, float32 or float64.
        bins: Number of bins, vertical and horizontal.
        spatial_scale: Factor from corners to pixels of the feature map.
        sampling_ratio: Samples along each side of a bin; 0 or less for about one per pixel.
        aligned: Shift by half a pixel; otherwise, a RoI has a size of at least one pixel.

    Attributes:
        image: Image index, int64 of shape `(k,)`.
        height, width: Size of each RoI, shape `(k, 1, 1)`.
        start_y, start_x: Origin of each RoI, shape `(k, 1, 1)`, or `(k, *bins)` after a
            deformable op has shifted the bins.
        count: Number of samples in a bin, shape `(k, 1, 1)`.
    """

    def __init__(
        self,
        rois: Tensor,
        bins: tuple[int, int],
        spatial_scale: float,
        sampling_ratio: int,
        aligned: bool,
    ):
        self.bins = bins
        self.image = rois[:, 0].long()
        corners = rois[:, 1:, None, None] * spatial_scale - (0.5 if aligned else 0.0)
        self.start_x, self.start_y, end_x, end_y = corners.unbind(1)
        self.width, self.height = end_x - self.start_x, end_y - self.start_y
        if not aligned:
            self.width, self.height = self.width.clamp(min=1), self.height.clamp(min=1)
        self._bin_h, self._bin_w = self.height / bins[0], self.width / bins[1]
        self._ratio = sampling_ratio
        if sampling_ratio > 0:
            self._rows = torch.full_like(self.height, sampling_ratio)
            self._columns = self._rows
        else:
            self._rows, self._columns = self._bin_h.ceil(), self._bin_w.ceil()
        self.count = (self._rows * self._columns).clamp(min=1)

    def samples(self) -> Iterator[tuple[Union[slice, Tensor], Tensor, Tensor]]:
        """Iterate over the samples that a bin can have, row by row.

        Yields:
            The indices of the RoIs that have the sample, a slice or int64 of shape `(chosen,)`, and
            the y and x positions of the sample in each of their bins, shape `(chosen, *bins)`.
        """
        ph, pw = (torch.arange(bins, device=self.image.device) for bins in self.bins)
        for row, column, chosen in self._chosen():
            bin_h, bin_w = self._bin_h[chosen], self._bin_w[chosen]
            y = self.start_y[chosen] + ph[:, None] * bin_h
            x = self.start_x[chosen] + pw * bin_w
            y = y + (row + 0.5) * bin_h / self._rows[chosen]
            x = x + (column + 0.5) * bin_w / self._columns[chosen]
            yield (chosen, *torch.broadcast_tensors(y, x))

    def _chosen(self) -> Iterator[tuple[int, int, Union[slice, Tensor]]]:
        if self._ratio > 0:  # nothing depends on values here, so that the op can be exported
            for row, column in itertools.product(range(self._ratio), repeat=2):
                yield row, column, slice(None)
        elif len(self.image):
            for row in range(int(self._rows.max())):
                for column in range(int(self._columns.max())):
                    has = (self._rows > row) & (self._columns > column)
                    yield row, column, has.flatten().nonzero().squeeze(1)


class Corners(NamedTuple):
    """The four pixels around positions in a map, for bilinear interpolation.

    The tensors have the shape of the positions. Positions more than a pixel `outside` the map have
    weights 0; positions less than a pixel outside are clamped to the border.
    """

    y_low: Tensor
    y_high: Tensor
    x_low: Tensor
    x_high: Tensor
    outside: Tensor
    weights: tuple[Tensor, Tensor, Tensor, Tensor]

    @classmethod
    def around(cls, y: Tensor, x: Tensor, height: int, width: int) -> "Corners":
        """Find the pixels around the positions y, x in a map of size height times width."""
        outside = ~((y >= -1) & (y <= height) & (x >= -1) & (x <= width))
        y_low, y_high, below = _neighbours(y, height)
        x_low, x_high, right = _neighbours(x, width)
        above, left = 1 - below, 1 - right
        weights = (above * left, above * right, below * left, below * right)
        masked = tuple(weight.masked_fill(outside, 0) for weight in weights)
        return cls(y_low, y_high, x_low, x_high, outside, masked)

    def indices(self, width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the row-major indices of the four pixels, in the order of `weights`."""
        top, bottom = self.y_low * width, self.y_high * width
        x_low, x_high = self.x_low, self.x_high
        return top + x_low, top + x_high, bottom + x_low, bottom + x_high


def _neighbours(position: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    position = position.clamp(min=0)
    low = position.long().clamp(0, size - 1)
    last = low == size - 1
    return low, torch.where(last, low, low + 1), (position - low).masked_fill(last, 0)


def pixel_rows(input: Tensor) -> Tensor:
    """Lay out feature maps `(n, c, h, w)` as one row of channels per pixel, `(n * h * w, c)`."""
    return input.permute(0, 2, 3, 1).reshape(-1, input.shape[1])


def flat_index(image: Tensor, pixel: Tensor, shape: torch.Size) -> Tensor:
    """Return indices of elements in flattened feature maps.

    Args:
        image: Index of the feature map, shape `(k,)`.
        pixel: Index of the pixel in its map, shape `(k, c, *bins)`.
        shape: Shape `(n, c, h, w)` of the feature maps.

    Returns:
        Indices into the flattened maps, shape of `pixel`.
    """
    _, channels, height, width = shape
    channel = torch.arange(channels, device=image.device)[:, None, None]
    return (image[:, None, None, None] * channels + channel) * (height * width) + pixel
