"""Loading of images as in an MMDetection pipeline."""

from pathlib import Path
from typing import Any

import numpy as np

from ..datasets import LoadReadableImage
from ..runtime.images import REMEDY, ImageLike, as_bgr


class _ImageLoader(LoadReadableImage):
    """Loader of an image that isn't part of a dataset."""

    remedy = REMEDY


def load_bgr(image: ImageLike, **loading: Any) -> np.ndarray:
    """Load an image, using mmcv if it is a file.

    Args:
        image: Same as for `vanillanet_det.runtime.images.as_bgr`.
        **loading: Arguments of mmcv's `LoadImageFromFile`.

    Returns:
        uint8 `(height, width, 3)`, BGR.

    Raises:
        UserError: The image can't be read or has an unsupported type.
    """
    if isinstance(image, (str, Path)):
        return _ImageLoader(**loading).transform(dict(img_path=str(image)))["img"]
    return as_bgr(image)
