"""Resizing of images to the input size of an exported file."""

import numpy as np

from ..errors import UserError
from .metadata import Metadata
from .packages import load

MAX_SIDE = 16_384  # pixels; in float32, twice as many would exceed most memories


def check_size(image: np.ndarray, name: str) -> None:
    """Raise an error if an image is too large.

    Args:
        image: Pixels `(height, width, 3)`.
        name: Name of the image in error messages.

    Raises:
        UserError: A side has more than `MAX_SIDE` pixels.
    """
    height, width = image.shape[:2]
    if max(height, width) > MAX_SIDE:
        raise UserError(
            f"{name}: {width} x {height} pixels; expected at most {MAX_SIDE:,} in width and "
            "height; scale it down, or split it into tiles"
        )


def find_size(width: int, height: int, metadata: Metadata) -> tuple[int, int]:
    """Compute the width and height in pixels to which an image is resized.

    The result is that of MMDetection's Resize. If the file's input size is fixed, the image is
    scaled to fit into it; if the config has no Resize, the image is never enlarged.
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
    """Resize an image, and pad it if the file's size is fixed.

    Args:
        image: uint8 `(height, width, 3)`, BGR.
        metadata: The file's metadata.

    Returns:
        An array like the image, and the factors by which width and height were scaled.
    """
    height, width = image.shape[:2]
    size = find_size(width, height, metadata)
    if size != (width, height):
        cv2 = load("cv2")
        image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return _pad(image, metadata), (size[0] / width, size[1] / height)


def find_offset(width: int, height: int, metadata: Metadata) -> tuple[int, int]:
    """Compute the pixels of padding to the left of a resized image and above it."""
    if not metadata.centered or metadata.input_size is None:
        return 0, 0
    # An odd pixel is on the right and at the bottom, as Ultralytics has it.
    return tuple(
        (whole - part) // 2 for whole, part in zip(metadata.input_size[::-1], (width, height))
    )


def _pad(image: np.ndarray, metadata: Metadata) -> np.ndarray:
    size = metadata.input_size
    if size is None or image.shape[:2] == size:
        return image
    height, width = image.shape[:2]
    left, top = find_offset(width, height, metadata)
    padded = np.empty((*size, 3), np.uint8)
    padded[:] = np.round(metadata.padding)
    padded[top : top + height, left : left + width] = image
    return padded
