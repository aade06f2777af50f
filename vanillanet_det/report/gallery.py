"""Draws validation images with objects and detections for the report's gallery."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Optional

import matplotlib
import numpy as np
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont
from pycocotools import mask
from pycocotools.coco import COCO

from ..datasets.loading import LoadReadableImage
from ..errors import UserError
from ..fileio import without_folders
from .encoding import jpeg_url
from .matches import ImageMatches

SIDE = 288  # longest side in CSS pixels; four images fit side by side on a desktop
_DENSITY = 2  # pixels per CSS pixel
_FONT_SIZE = 13
_LINE = 2
_CORRECT, _WRONG, _CROWD = "#0072B2", "#D55E00", "#777777"
_MASK_OPACITY = 0.35


@dataclass(frozen=True)
class Drawing:
    """An image of the gallery, drawn once with its objects and once with its detections.

    Attributes:
        name: File name.
        truth: `data:` URL of a JPEG with the objects; None if the file can't be read.
        found: Like `truth`, with the detections.
        size: Width and height in CSS pixels.
        note: Caption.
    """

    name: str
    truth: Optional[str]
    found: Optional[str]
    size: tuple[int, int]
    note: str


@dataclass(frozen=True)
class _Mark:
    box: Sequence[float]
    label: str
    colour: str
    annotation: dict


def draw_matches(
    matches: ImageMatches, root: Path, names: Mapping[int, tuple[int, str]], masks: bool
) -> Drawing:
    """Draw the objects and the detections of an image.

    The image is loaded as in MMDetection, and resized to `SIDE` CSS pixels.

    Args:
        matches: Result of `match` for this image.
        root: Image folder.
        names: Number and name of each class, by category id.
        masks: Whether to draw masks.

    Returns:
        The two drawings, or the reason why the file can't be read.
    """
    file_name = matches.image["file_name"]
    shown_name = without_folders(file_name)
    counts = {"correct": matches.pairs, "missed": matches.missed, "wrong": matches.wrong}
    note = ", ".join(f"{len(those)} {name}" for name, those in counts.items())
    if matches.f1 is not None:
        note = f"F1 {matches.f1:.2f}, mean IoU {matches.mean_iou:.2f}: {note}"
    try:
        pixels = LoadReadableImage().transform({"img_path": str(root / file_name)})["img"]
    except UserError as error:
        reason = str(error).replace(str(root / file_name), shown_name)
        return Drawing(shown_name, None, None, (0, 0), f"{note}. {reason}")
    image = Image.fromarray(np.ascontiguousarray(pixels[..., ::-1]))
    scale = SIDE * _DENSITY / max(image.size)
    size = tuple(max(1, round(scale * side)) for side in image.size)
    scaled = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    truth = _draw(scaled, image.size, _truth_marks(matches, names), masks)
    found = _draw(scaled, image.size, _detection_marks(matches, names), masks)
    shown = tuple(max(1, round(side / _DENSITY)) for side in size)
    return Drawing(shown_name, truth, found, shown, note)


def _truth_marks(matches: ImageMatches, names: Mapping[int, tuple[int, str]]) -> list[_Mark]:
    missed = {t["id"] for t in matches.missed}
    marks = []
    for truth in matches.truth:
        label = class_label(*names[truth["category_id"]])
        colour = _WRONG if truth["id"] in missed else _CORRECT
        if truth["iscrowd"]:
            label, colour = f"crowd of {label}", _CROWD
        marks.append(_Mark(truth["bbox"], label, colour, truth))
    return marks


def _detection_marks(matches: ImageMatches, names: Mapping[int, tuple[int, str]]) -> list[_Mark]:
    marks = []
    for detection in matches.detections[::-1]:  # draws the highest score on top
        label = f"{class_label(*names[detection['category_id']])} {detection['score']:.2f}"
        colour = _CORRECT if detection["id"] in matches.pairs else _WRONG
        colour = _CROWD if detection["id"] in matches.on_crowd else colour
        marks.append(_Mark(detection["bbox"], label, colour, detection))
    return marks


def _draw(
    image: Image.Image, original: tuple[int, int], marks: Sequence[_Mark], masks: bool
) -> str:
    image = image.copy()
    scale = np.divide(image.size, original)
    for mark in marks if masks else ():
        _overlay_mask(image, original, mark)
    draw = ImageDraw.Draw(image)
    boxes = [_corners(mark.box, scale, image.size) for mark in marks]
    for mark, box in zip(marks, boxes):
        draw.rectangle(box, outline=mark.colour, width=_LINE * _DENSITY)
    for mark, box in zip(marks, boxes):
        _write_label(draw, mark, box, image.size)
    return jpeg_url(image)


def _corners(box: Sequence[float], scale: np.ndarray, size: tuple[int, int]) -> list[float]:
    x, y, width, height = box
    corners = np.array([[x, y], [x + width, y + height]]) * scale
    low, high = np.clip(corners, 0, np.subtract(size, 1))
    return [*low, *np.maximum(low, high)]


def _write_label(draw: ImageDraw.ImageDraw, mark: _Mark, box: Sequence[float], size: tuple) -> None:
    font = _font()
    left, top, right, bottom = draw.textbbox((0, 0), mark.label, font=font)
    width, height = right - left + 6, bottom - top + 6
    x = max(0, min(box[0], size[0] - width))
    y = box[1] - height if box[1] >= height else min(box[1], size[1] - height)
    draw.rectangle([x, y, x + width, y + height], fill=mark.colour)
    draw.text((x + 3 - left, y + 3 - top), mark.label, fill="white", font=font)


def _overlay_mask(image: Image.Image, original: tuple[int, int], mark: _Mark) -> None:
    # The class COCO reads polygons and both kinds of RLE.
    coco = COCO()
    coco.imgs = {0: {"width": original[0], "height": original[1]}}
    rle = coco.annToRLE({"image_id": 0, "segmentation": mark.annotation["segmentation"]})
    inside = Image.fromarray(np.uint8(255 * _MASK_OPACITY) * mask.decode(rle)).resize(image.size)
    image.paste(mark.colour, mask=inside)


def class_label(number: int, name: str) -> str:
    """Return the name of a class, or its number if the font lacks characters of the name."""
    charmap = _charmap()
    return name if all(ord(letter) in charmap for letter in name) else f"#{number}"


@cache
def _font() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(_font_file(), _FONT_SIZE * _DENSITY)


@cache
def _charmap() -> frozenset[int]:
    return frozenset(FT2Font(_font_file()).get_charmap())


def _font_file() -> str:
    return str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"))
