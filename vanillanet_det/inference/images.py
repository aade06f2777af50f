"""Images loaded like in an MMDetection pipeline."""

from pathlib import Path
from typing import Any

import numpy as np

from ..datasets import LoadReadableImage
from ..runtime.images import REMEDY, ImageLike, as_bgr


class _ImageLoader(LoadReadableImage):
    """Loads an image that isn't part of a dataset."""

    remedy = REMEDY


def load_bgr(image: ImageLike, **loading: Any) -> np.ndarray:
    """Load an image; files are loaded by mmcv.

    Args:
        image: As for `vanillanet_det.runtime.images.as_bgr`.
        **loading: Arguments of mmcv's `LoadImageFromFile`.

    Returns:
        uint8 `(height, width, 3)`, BGR.

    Raises:
        UserError: The image can't be read, or is of another type.
    """
    if isinstance(image, (str, Path)):
        return _ImageLoader(**loading).transform(dict(img_path=str(image)))["img"]
    return as_bgr(image)
