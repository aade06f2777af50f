"""Which images OpenCV rotates according to their Exif data."""

import io
from functools import cache

import cv2
import numpy as np
from PIL import Image

_ORIENTATION, _TURNED = 0x0112, 6


def opencv_rotates(image: Image.Image) -> bool:
    """Return whether OpenCV applies the Exif rotation of an image's format.

    OpenCV 4.11 doesn't for WebP, and OpenCV 5 does.
    """
    return image.format != "WEBP" or _rotates_webp()


@cache
def _rotates_webp() -> bool:
    exif, file = Image.Exif(), io.BytesIO()
    exif[_ORIENTATION] = _TURNED
    Image.new("RGB", (2, 1)).save(file, "WEBP", exif=exif)
    decoded = cv2.imdecode(np.frombuffer(file.getvalue(), np.uint8), cv2.IMREAD_COLOR)
    return decoded.shape[:2] == (2, 1)
