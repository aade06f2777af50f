"""Detections drawn on their image."""

import colorsys
import functools
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from .results import Detections

_MASK_SHARE = 0.4


def draw_detections(image: np.ndarray, detections: "Detections") -> np.ndarray:
    """Draw boxes, names, scores and masks, the highest scores on top.

    Args:
        image: uint8 `(height, width, 3)`, BGR; it stays as it is.
        detections: What was found in it.

    Returns:
        An array like the image.
    """
    pixels = np.ascontiguousarray(image[..., ::-1])
    found = list(detections)[::-1]
    for item in found:
        if item.mask is not None:
            under = pixels[item.mask] * (1 - _MASK_SHARE)
            pixels[item.mask] = (under + np.multiply(_color(item.label), _MASK_SHARE)).astype("u1")
    picture = Image.fromarray(pixels)
    canvas = ImageDraw.Draw(picture)
    height, width = detections.size
    line = max(1, round(min(height, width) / 250))
    font = _font(max(9, round(min(height, width) / 35)))
    for item in found:
        left, top, right, bottom = item.box.round().astype(int).tolist()
        color = _color(item.label)
        canvas.rectangle((left, top, max(left, right), max(top, bottom)), outline=color, width=line)
        text = f"{item.name} {item.score:.2f}"
        _, _, text_width, text_height = canvas.textbbox((0, 0), text, font=font)
        # Above the box, but inside the image.
        x = max(0, min(left, width - text_width - 2))
        y = max(0, top - text_height - 2)
        canvas.rectangle((x, y, x + text_width + 2, y + text_height + 2), fill=color)
        dark = sum(np.multiply(color, (0.299, 0.587, 0.114))) < 140
        canvas.text((x + 1, y), text, fill="white" if dark else "black", font=font)
    return np.asarray(picture)[..., ::-1]


def _color(label: int) -> tuple[int, int, int]:
    """Colour of a class: steps of the golden ratio around the circle keep neighbours apart."""
    hue = (0.02 + label * 0.618034) % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 0.85 if label % 2 else 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


@functools.lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    # DejaVu, which comes with matplotlib, has more alphabets than PIL's own font.
    spec = find_spec("matplotlib")
    for folder in (spec and spec.submodule_search_locations) or ():
        file = Path(folder, "mpl-data/fonts/ttf/DejaVuSans.ttf")
        if file.is_file():
            return ImageFont.truetype(str(file), size)
    return ImageFont.load_default(size)
