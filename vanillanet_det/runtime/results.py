"""Detections in an image, and how they are drawn and exported."""

import colorsys
import functools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .images import as_bgr
from .masks import encode_mask

_MASK_OPACITY = 0.4


class Detection(NamedTuple):
    """One object.

    Attributes:
        box: Left, top, right and bottom in pixels of the image, float32 `(4,)`.
        score: From 0 to 1.
        label: Index of its class.
        name: Name of its class.
        mask: Bool `(height, width)`; None if the detector predicts no masks.
    """

    box: np.ndarray
    score: float
    label: int
    name: str
    mask: Optional[np.ndarray]


@dataclass(frozen=True)
class Detections:
    """The objects in one image, highest score first.

    Attributes:
        boxes: Left, top, right and bottom in pixels of the image, float32 `(N, 4)`.
        scores: From 0 to 1, float32 `(N,)`.
        labels: Index of each object's class in `classes`, int64 `(N,)`.
        masks: Bool `(N, height, width)`; None if the detector predicts no masks.
        classes: All class names.
        size: Height and width of the image in pixels.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: Optional[np.ndarray]
    classes: tuple[str, ...]
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[Detection]:
        for index, (box, score, label) in enumerate(zip(self.boxes, self.scores, self.labels)):
            mask = None if self.masks is None else self.masks[index]
            yield Detection(box, float(score), int(label), self.classes[label], mask)

    def summary(self) -> str:
        """Return the number of objects, in total and by class: `3 (cat 2, dog 1)`."""
        counts = Counter(item.name for item in self)
        each = ", ".join(f"{name} {count}" for name, count in counts.most_common())
        return f"{len(self)} ({each})" if counts else "0"

    def draw(self, image: Union[str, Path, np.ndarray, Image.Image]) -> Image.Image:
        """Draw boxes, names, scores and masks on a copy of the image.

        Args:
            image: The image of these detections: its file, an array `(height, width, 3)` in BGR,
                or a PIL image.

        Returns:
            The drawing; `save("b.jpg")` writes it.
        """
        drawn = draw_detections(as_bgr(image), self)
        return Image.fromarray(np.ascontiguousarray(drawn[..., ::-1]))

    def to_coco(self, image_id: int) -> list[dict[str, Any]]:
        """Convert the detections to COCO results.

        Args:
            image_id: ID of the image.

        Returns:
            A dict per object: `image_id`, `category_id` (1 for the first class), `bbox` (left, top,
            width and height in pixels, rounded to 3 decimals), `score` (5 decimals), and, if there
            are masks, `segmentation` (RLE).
        """
        rows: list[dict[str, Any]] = []
        for box, score, label, _, mask in self:
            left, top, right, bottom = box.tolist()
            rows.append(
                dict(
                    image_id=image_id,
                    category_id=label + 1,
                    bbox=[round(v, 3) for v in (left, top, right - left, bottom - top)],
                    score=round(score, 5),
                )
            )
            if mask is not None:
                rows[-1]["segmentation"] = dict(size=list(self.size), counts=encode_mask(mask))
        return rows


def draw_detections(image: np.ndarray, detections: Detections) -> np.ndarray:
    """Draw boxes, names, scores and masks on a copy of an image, with the highest scores on top.

    Args:
        image: uint8 `(height, width, 3)`, BGR.
        detections: Its detections.

    Returns:
        An array like the image.
    """
    pixels = np.ascontiguousarray(image[..., ::-1])
    items = list(detections)[::-1]
    for item in items:
        if item.mask is not None:
            under = pixels[item.mask] * (1 - _MASK_OPACITY)
            blended = under + np.multiply(_color(item.label), _MASK_OPACITY)
            pixels[item.mask] = blended.astype(np.uint8)
    drawing = Image.fromarray(pixels)
    canvas = ImageDraw.Draw(drawing)
    height, width = detections.size
    line = max(1, round(min(height, width) / 250))
    font = _font(max(9, round(min(height, width) / 35)))
    for item in items:
        left, top, right, bottom = item.box.round().astype(int).tolist()
        color = _color(item.label)
        canvas.rectangle((left, top, max(left, right), max(top, bottom)), outline=color, width=line)
        text = f"{item.name} {item.score:.2f}"
        _, _, text_width, text_height = canvas.textbbox((0, 0), text, font=font)
        # Place the text above the box, unless that is outside the image.
        x = max(0, min(left, width - text_width - 2))
        y = max(0, top - text_height - 2)
        canvas.rectangle((x, y, x + text_width + 2, y + text_height + 2), fill=color)
        dark = sum(np.multiply(color, (0.299, 0.587, 0.114))) < 140
        canvas.text((x + 1, y), text, fill="white" if dark else "black", font=font)
    return np.asarray(drawing)[..., ::-1]


def _color(label: int) -> tuple[int, int, int]:
    """Return a class's colour: golden-ratio steps around the hue circle separate neighbours."""
    hue = (0.02 + label * 0.618034) % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 0.85 if label % 2 else 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


@functools.lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    # matplotlib's DejaVu font covers more scripts than PIL's default font.
    spec = find_spec("matplotlib")
    for folder in (spec and spec.submodule_search_locations) or ():
        file = Path(folder, "mpl-data/fonts/ttf/DejaVuSans.ttf")
        if file.is_file():
            return ImageFont.truetype(str(file), size)
    return ImageFont.load_default(size)
