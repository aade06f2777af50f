"""Pictures in the size that a file takes."""

from typing import Optional

import numpy as np

from ..errors import UserError
from .metadata import Metadata
from .packages import load

MAX_SIDE = 16_384  # pixels: a picture of twice that, in float32, is more memory than most have


def check_size(image: np.ndarray, name: str) -> None:
    """Refuse a picture that is too large.

    Args:
        image: Its pixels `(height, width, 3)`.
        name: What errors call it.

    Raises:
        UserError: A side has more than `MAX_SIDE` pixels.
    """
    height, width = image.shape[:2]
    if max(height, width) > MAX_SIDE:
        raise UserError(
            f"{name}: {width} x {height} pixels but expected at most {MAX_SIDE:,} in width and in "
            "height; scale it down, or cut it into tiles"
        )


def find_size(width: int, height: int, metadata: Metadata) -> tuple[int, int]:
    """Find the width and height in pixels that a picture is to have.

    They are those of MMDetection's Resize. For a file of fixed size the picture fits into that;
    where there is no Resize, it isn't made larger.
    """
    resize, limits = metadata.resize, metadata.input_size
    if resize is None and limits is None:
        return width, height
    if limits is not None:
        scale = limits[::-1]
        factor = min(scale[0] / width, scale[1] / height)
    else:
        scale = resize.scale
        factor = min(max(scale) / max(width, height), min(scale) / min(width, height))
    if resize is None:
        factor = min(factor, 1.0)
    elif not resize.keep_ratio:
        return scale
    return max(1, int(width * factor + 0.5)), max(1, int(height * factor + 0.5))


def fit(image: np.ndarray, metadata: Metadata) -> tuple[np.ndarray, tuple[float, float]]:
    """Resize a picture, and fill it up on the right and below if the file's size is fixed.

    Args:
        image: uint8 `(height, width, 3)`, BGR.
        metadata: What the file says.

    Returns:
        An array like the image, and how much wider and higher the picture in it is.
    """
    height, width = image.shape[:2]
    size = find_size(width, height, metadata)
    if size != (width, height):
        cv2 = load("cv2")
        image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return _fill_up(image, metadata.input_size, metadata.padding), (
        size[0] / width,
        size[1] / height,
    )


def _fill_up(
    image: np.ndarray, size: Optional[tuple[int, int]], color: tuple[float, float, float]
) -> np.ndarray:
    if size is None or image.shape[:2] == size:
        return image
    filled = np.empty((*size, 3), np.uint8)
    filled[:] = np.round(color)
    filled[: image.shape[0], : image.shape[1]] = image
    return filled
