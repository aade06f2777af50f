"""Shapes of annotation tools as boxes, polygons and masks."""

import math
from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

from .files import number

_CORNERS = 64  # of the polygon for an ellipse; a multiple of 4 keeps an upright ellipse's box exact
_LARGEST_MASK = 1 << 30  # pixels


def corner_box(edges: Sequence[Any]) -> list[float]:
    """Convert the edges left, top, right and bottom to `[x, y, width, height]`.

    Raises:
        ValueError: An edge isn't a number, or left and right or top and bottom are swapped.
    """
    left, top, right, bottom = map(number, edges)
    if left > right or top > bottom:
        raise ValueError(
            f"its box spans ({left:g}, {top:g}) to ({right:g}, {bottom:g}), expected the upper "
            "left corner and then the lower right corner"
        )
    return [left, top, right - left, bottom - top]


def rectangle(
    box: Sequence[float], degrees: float, pivot: Optional[Sequence[float]] = None
) -> list[float]:
    """Return the corners of a box `[x, y, width, height]`, rotated clockwise around a pivot.

    The default pivot is the box's centre.
    """
    x, y, width, height = box
    pivot = (x + width / 2, y + height / 2) if pivot is None else pivot
    corners = ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
    return _rotated(corners, degrees, pivot)


def ellipse(centre: Sequence[float], radii: Sequence[float], degrees: float = 0) -> list[float]:
    """Return a polygon for an ellipse that is rotated clockwise around its centre."""
    angles = [2 * math.pi * index / _CORNERS for index in range(_CORNERS)]
    rim = [
        (centre[0] + radii[0] * math.cos(angle), centre[1] + radii[1] * math.sin(angle))
        for angle in angles
    ]
    return _rotated(rim, degrees, centre)


def _rotated(
    points: Sequence[Sequence[float]], degrees: float, pivot: Sequence[float]
) -> list[float]:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    if degrees % 90 == 0:
        cos, sin = round(cos), round(sin)
    turned = []
    for x, y in points:
        x, y = x - pivot[0], y - pivot[1]
        turned += [pivot[0] + x * cos - y * sin, pivot[1] + x * sin + y * cos]
    return turned


def encode_mask(mask: np.ndarray, left: int, top: int, size: tuple[int, int]) -> dict[str, Any]:
    """Encode a mask that covers a part of an image as COCO's RLE.

    Args:
        mask: Array of shape `(height, width)`, true for pixels of the object.
        left: Column of the image at which the mask starts.
        top: Row of the image at which the mask starts.
        size: Width and height of the image. Pixels outside it are dropped.

    Raises:
        ValueError: The image is too large.
    """
    from pycocotools import mask as coco_mask

    width, height = size
    if width * height > _LARGEST_MASK:
        raise ValueError(f"its image has {width} x {height} pixels, which is too large for a mask")
    whole = np.zeros((height, width), np.uint8, order="F")
    from_row, from_column = max(-top, 0), max(-left, 0)
    inside = mask[from_row : max(height - top, 0), from_column : max(width - left, 0)]
    row, column = top + from_row, left + from_column
    whole[row : row + inside.shape[0], column : column + inside.shape[1]] = inside
    encoded = coco_mask.encode(whole)
    return dict(size=[height, width], counts=encoded["counts"].decode())


def mask_box(encoded: dict[str, Any]) -> list[float]:
    """Return the box `[x, y, width, height]` around a mask in COCO's RLE."""
    from pycocotools import mask as coco_mask

    return coco_mask.toBbox(encoded).tolist()
