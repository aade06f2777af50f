"""LabelMe format: one JSON file with shapes for each image."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Optional

from ...errors import UserError
from .files import FileTree, holds, number, split_of_folders
from .json_files import read_json
from .per_image import ImageAnnotation, read_per_image
from .raw_dataset import Object, RawDataset, bounds
from .remarks import Remarks
from .shapes import ellipse

NAME = "LabelMe"
LAYOUT = 'LabelMe (*.json with "shapes" next to the images)'
_OTHER = "JSON files in other formats, skipped"
_NO_AREA = "Shapes without an area (points, lines, polygons of two points), skipped"
_MASKS = "Shapes drawn as masks, for which only the box is used"
_JOINED = "Shapes joined to others of the same label and group_id"
_LINES = ("point", "points", "line", "linestrip")
_NOT_OBJECTS = ("__ignore__", "_background_")  # of LabelMe's converters
_IGNORED = f"Shapes labelled {' or '.join(_NOT_OBJECTS)}, skipped"
_APART = "Rectangles of the same label and group_id, kept as separate objects"


def detect(tree: FileTree) -> bool:
    """Return whether a folder contains a dataset in this format."""
    return any(_is_annotation(tree.root / file) for file in tree.having(".json"))


def _is_annotation(path: Path) -> bool:
    return holds(path, rb'"shapes"\s*:\s*\[')


def read(tree: FileTree, remarks: Remarks) -> RawDataset:
    """Read a folder; its subfolders `train` and `val`, if they exist, define the splits.

    Polygons, rectangles and circles are read; shapes with the same label and `group_id` are
    parts of one object.

    Raises:
        UserError: A JSON file is invalid, or its image is missing; the message contains the file
            and the number of the shape.
    """
    splits = {}
    for file in tree.having(".json"):
        if _is_annotation(tree.root / file):
            splits[file] = split_of_folders(file) or "train"
        else:
            remarks.skip(_OTHER, file)
    return read_per_image(NAME, tree, splits, partial(_parse, remarks=remarks), remarks)


def _parse(path: Path, remarks: Remarks) -> ImageAnnotation:
    content = read_json(path)
    image = content.get("imagePath") or ""
    if not isinstance(image, str):
        raise UserError(f"{path}: imagePath is {image!r}, expected the name of an image file")
    shapes = content.get("shapes")
    if not isinstance(shapes, list):
        raise UserError(f"{path}: shapes is {type(shapes).__name__}, expected a list")
    groups: dict[Any, list[_Shape]] = {}
    try:
        where = "imageWidth and imageHeight"
        size = _size(content)
        for index, shape in enumerate(shapes, 1):
            where = f"shape {index}"
            read = _shape(shape, path.name, remarks)
            if read:
                group = shape.get("group_id")
                key = index if group is None else (read[0], str(group))
                groups.setdefault(key, []).append(read)
    except ValueError as error:
        raise UserError(f"{path}: {where}: {error}") from error
    objects = [found for group in groups.values() for found in _joined(group, path.name, remarks)]
    return ImageAnnotation(image, size, objects)


def _size(content: dict[str, Any]) -> Optional[tuple[int, int]]:
    width, height = (number(content.get(f"image{side}") or 0) for side in ("Width", "Height"))
    return (int(width), int(height)) if width > 0 and height > 0 else None


_Shape = tuple[str, list[float], bool]  # label, polygon, and whether it is more than a box


def _shape(shape: Any, place: str, remarks: Remarks) -> Optional[_Shape]:
    if not isinstance(shape, dict):
        raise ValueError(f"is {shape!r}, expected an object with label, points and shape_type")
    kind = shape.get("shape_type") or "polygon"
    label, points = shape.get("label"), _points(shape.get("points"))
    if not isinstance(label, str) or not label.strip():
        raise ValueError(f"its label is {label!r}, expected the name of a class")
    label = label.strip()
    if label in _NOT_OBJECTS:
        remarks.skip(_IGNORED, place, objects=1)
        return None
    if kind in _LINES or len(points) < (3 if kind in ("polygon", "rotation") else 2):
        remarks.skip(_NO_AREA, place, objects=1)
        return None
    if kind in ("polygon", "rotation", "oriented_rectangle"):
        return label, [value for point in points for value in point], True
    if kind == "circle":
        centre, rim = points[:2]
        return label, ellipse(centre, [math.dist(centre, rim)] * 2), True
    if kind not in ("rectangle", "mask"):
        raise ValueError(
            f"is a {kind!r}, expected a polygon, rectangle or circle; redraw it as one of these"
        )
    remarks.add(_MASKS, place, kind == "mask")
    flat = [value for point in points for value in point]
    x, y, width, height = bounds([flat])
    right, bottom = x + width, y + height
    return label, [x, y, right, y, right, bottom, x, bottom], False


def _points(points: Any) -> list[tuple[float, float]]:
    try:
        return [(number(x), number(y)) for x, y in points]
    except (TypeError, ValueError) as error:
        raise ValueError(f"its points are not pairs of finite numbers ({error})") from error


def _joined(group: Sequence[_Shape], place: str, remarks: Remarks) -> list[Object]:
    """Join the parts of an object; rectangles alone are objects of their own."""
    label, outlines = group[0][0], [outline for _, outline, _ in group]
    if any(is_outline for _, _, is_outline in group):
        count = len(group) - 1
        remarks.skip(_JOINED, place, count, objects=count)
        return [Object(label, bounds(outlines), outlines)]
    remarks.add(_APART, place, len(group) if len(group) > 1 else 0)
    return [Object(label, bounds([outline])) for outline in outlines]
