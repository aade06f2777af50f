"""Pixels of files as MMDetection loads them."""

from pathlib import Path
from typing import Any

import numpy as np

from ..datasets import LoadReadableImage
from ..runtime import images
from ..runtime.images import ImageLike


class PictureLoader(LoadReadableImage):
    """Load a picture that no annotation file names."""

    remedy = images.REMEDY


def as_bgr(image: ImageLike, **loading: Any) -> np.ndarray:
    """Load an image, a file of which is loaded as a config says.

    Args:
        image: As for `vanillanet_det.runtime.images.as_bgr`.
        **loading: As for mmcv's `LoadImageFromFile`.

    Returns:
        uint8 `(height, width, 3)`, BGR.

    Raises:
        UserError: It can't be read, or is anything else.
    """
    if isinstance(image, (str, Path)):
        return PictureLoader(**loading).transform(dict(img_path=str(image)))["img"]
    return images.as_bgr(image)
