"""Image sizes as training sees them, without decoding the images."""

from pathlib import Path

from PIL import Image

from ...errors import UserError
from ...runtime.images import orientation

_WIDTH, _HEIGHT, _ORIENTATION = 0x0100, 0x0101, 0x0112  # TIFF tags
_SWAPPED = (5, 6, 7, 8)  # orientations that swap width and height


def image_size(path: Path) -> tuple[int, int]:
    """Return the width and height of an image after Exif rotation, as it is displayed.

    Raises:
        UserError: The file can't be read as an image.
    """
    try:
        with Image.open(path) as image:
            return loaded_size(image)
    except Exception as error:  # Pillow's decoders raise almost any exception
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{path}: can't be read as an image ({reason}); replace the file or remove it from "
            "the dataset"
        ) from error


def loaded_size(image: Image.Image, rotates: bool = True) -> tuple[int, int]:
    """Return the width and height that an image has when OpenCV loads it, without decoding it.

    Args:
        image: The image, opened but not decoded.
        rotates: Whether the loader applies the Exif rotation, which it does by default.
    """
    width, height = image.size
    if image.format == "TIFF":
        # OpenCV always rotates TIFF images. So does Pillow, but some versions only when decoding.
        width, height = image.tag_v2[_WIDTH], image.tag_v2[_HEIGHT]
        swapped = image.tag_v2.get(_ORIENTATION) in _SWAPPED
    else:
        swapped = rotates and orientation(image) in _SWAPPED
    return (height, width) if swapped else (width, height)
