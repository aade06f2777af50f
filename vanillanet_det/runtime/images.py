"""Loading of pixels from files, arrays and PIL images."""

from pathlib import Path
from typing import Union

import numpy as np
from PIL import Image, ImageOps

from ..errors import UserError
from .packages import load

ImageLike = Union[str, Path, np.ndarray, Image.Image]
REMEDY = "replace or remove the file"


def as_bgr(image: ImageLike) -> np.ndarray:
    """Load an image in the same way as MMDetection.

    Args:
        image: A file of any depth and colour type, rotated according to its EXIF data; an array of
            pixels from 0 to 255, `(height, width, 3)` in BGR, as in OpenCV and MMDetection, or
            greyscale `(height, width)`; or a PIL image of any mode.

    Returns:
        uint8 `(height, width, 3)`, BGR.

    Raises:
        UserError: The image can't be read or has an unsupported type.
    """
    if isinstance(image, (str, Path)):
        return _from_file(image)
    if isinstance(image, Image.Image):
        return _from_pil(image)
    if not isinstance(image, np.ndarray):
        raise UserError(
            f"image: is a {type(image).__name__}; expected a path, a NumPy array or a PIL image"
        )
    if image.dtype == np.uint8 and image.ndim == 2:
        image = image[..., None].repeat(3, axis=2)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise UserError(
            f"image: has shape {image.shape} and type {image.dtype}; expected uint8 of "
            "shape (height, width, 3), in BGR as OpenCV reads it, or (height, width)"
        )
    return image


def _from_file(path: Union[str, Path]) -> np.ndarray:
    cv2 = load("cv2")
    try:
        # On Windows, OpenCV can't open names outside the system's code page.
        content = np.frombuffer(Path(path).expanduser().read_bytes(), np.uint8)
        pixels = cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
        reason = "not an image format that OpenCV supports" if content.size else "the file is empty"
    except (OSError, cv2.error) as error:
        pixels, reason = None, getattr(error, "strerror", None) or " ".join(str(error).split())
    if pixels is None:
        raise UserError(f"image {path}: can't be read ({reason}); {REMEDY}")
    return pixels


def _from_pil(image: Image.Image) -> np.ndarray:
    try:
        image.load()
    except OSError as error:
        raise UserError(f"image: can't be read ({error}); {REMEDY}") from error
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        # PIL's own conversion of 16-bit images would clip at 255.
        grey = (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
        return grey[..., None].repeat(3, axis=2)
    if image.mode in ("P", "PA") and "transparency" in image.info:
        image = image.convert("RGBA")
    return np.ascontiguousarray(np.asarray(image.convert("RGB"))[..., ::-1])
