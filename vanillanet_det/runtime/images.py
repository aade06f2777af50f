"""Loading of pixels from files, arrays and PIL images."""

import functools
import io
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..errors import UserError
from .packages import load

ImageLike = Union[str, Path, np.ndarray, Image.Image]
REMEDY = "replace or remove the file"
_ORIENTATION = 0x0112  # tag in Exif
_TRANSPOSED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass
class PreparedImage:
    """An image while the detector processes it.

    Attributes:
        source: The image as the caller passed it.
        image: Its pixels as uint8 `(height, width, 3)` in BGR; None if it can't be read.
        error: Why it can't be read.
        data: The network's input; None once it has been processed.
        shape: Shape of the input, which is the same for all images of a batch; None if the image
            can't be read.
    """

    source: Any
    image: Optional[np.ndarray] = None
    error: str = ""
    data: Any = None
    shape: Optional[Hashable] = None


def as_bgr(image: ImageLike) -> np.ndarray:
    """Load an image in the same way as MMDetection.

    Args:
        image: A file of any depth and colour type, rotated according to its EXIF data; an array of
            pixels from 0 to 255, `(height, width, 3)` in BGR, as in OpenCV and MMDetection, or
            greyscale `(height, width)`; or a PIL image of any mode that OpenCV loads from a file.

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
    content, reason = b"", ""
    try:
        # On Windows, OpenCV can't open names outside the system's code page.
        content = Path(path).expanduser().read_bytes()
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        if pixels is not None and pixels.ndim == 3:  # OpenCV loads PFM images as greyscale
            return pixels
    except OSError as error:
        reason = error.strerror or str(error)
    except cv2.error:  # an image that is empty or too large
        pass
    raise UserError(f"image {path}: can't be read ({reason or why_unreadable(content)}); {REMEDY}")


def why_unreadable(content: bytes) -> str:
    """Explain why OpenCV can't load an image file."""
    if not content:
        return "the file is empty"
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            return f"OpenCV doesn't load {image.format} images of mode {image.mode}"
    except UnidentifiedImageError:
        return "not an image format that OpenCV supports"
    except Exception as error:  # Pillow's decoders raise almost any exception
        return " ".join(str(error).split()) or type(error).__name__


def _from_pil(image: Image.Image) -> np.ndarray:
    try:
        image.load()
    except OSError as error:
        raise UserError(f"image: can't be read ({error}); {REMEDY}") from error
    turn = _TRANSPOSED.get(orientation(image))
    turned = image if turn is None else image.transpose(turn)
    return np.ascontiguousarray(_rgb(turned, image.format)[..., ::-1])


def _rgb(image: Image.Image, kind: Optional[str]) -> np.ndarray:
    """Convert a PIL image to RGB as OpenCV does when it loads a file of the format `kind`."""
    mode = image.mode
    # Until version 11, Pillow opened 16-bit PNG images as mode I.
    if mode.startswith("I;16") or (mode == "I" and kind == "PNG"):
        grey = (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
        return grey[..., None].repeat(3, axis=2)
    if mode in ("I", "F", "LAB"):
        raise UserError(
            f"image: a PIL image of mode {mode} has no fixed conversion to 8 bits; convert it to "
            "mode RGB or L in the same way as the training images, or pass its file"
        )
    if mode == "P" and kind == "GIF" and "transparency" in image.info:
        indices = np.array(image)
        indices[indices == image.info["transparency"]] = image.info.get("background", 0)
        palette = image.getpalette("RGB")
        return np.array(palette + [0] * (768 - len(palette)), np.uint8).reshape(-1, 3)[indices]
    if mode in ("P", "PA", "La", "RGBa"):
        image = image.convert("RGBA")
    if mode == "RGBA" and kind == "TIFF":
        rgba = np.asarray(image).astype(np.uint16)
        return ((rgba[..., :3] * rgba[..., 3:] + 127) // 255).astype(np.uint8)
    return np.asarray(image.convert("RGB"))


def num_frames(image: Image.Image) -> int:
    """Return the number of frames of an animation or of pages, of which OpenCV loads the first."""
    # Photographs in MPO format have previews, or the view of a second lens.
    return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)


def orientation(image: Image.Image) -> int:
    """Return the Exif orientation, from 1 to 8, that OpenCV applies when it loads an image.

    TIFF images have 1, since Pillow has applied theirs once they are loaded.
    """
    # getexif() would decode the whole PNG, and read XMP data, which OpenCV ignores.
    if "exif" not in image.info or image.format == "TIFF":
        return 1
    exif = Image.Exif()
    exif.load(image.info["exif"])
    found = exif.get(_ORIENTATION, 1)
    return found if found in _TRANSPOSED and _applies_exif(image.format) else 1


@functools.lru_cache
def _applies_exif(kind: Optional[str]) -> bool:
    """Return whether OpenCV rotates images of a format, which depends on its version."""
    if kind not in ("WEBP", "AVIF"):
        return True
    cv2 = load("cv2")
    exif, file = Image.Exif(), io.BytesIO()
    exif[_ORIENTATION] = 6
    Image.new("RGB", (16, 8)).save(file, kind, exif=exif)
    loaded = cv2.imdecode(np.frombuffer(file.getvalue(), np.uint8), cv2.IMREAD_COLOR)
    return loaded is not None and loaded.shape[:2] == (16, 8)
