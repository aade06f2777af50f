"""CreateML format: a JSON list of images with boxes given by their centres."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .files import holds, number
from .json_files import is_json_list, read_json
from .listed import Entry, ListFormat, Size, numbered
from .raw_dataset import Object
from .remarks import Remarks

_IMAGE_KEYS = ("image", "imagefilename")  # the second is newer, as is `annotation`
_SHAPE_KEYS = ("annotations", "annotation")
_SIDES = ("x", "y", "width", "height")


def _is_annotation(path: Path) -> bool:
    is_list = is_json_list(path) and holds(path, rb'"(image|imagefilename)"\s*:')
    has_shapes = is_list and holds(path, rb'"annotations?"\s*:\s*\[')
    return has_shapes and not holds(path, rb'"data"\s*:')  # which Label Studio has


def _entries(path: Path, remarks: Remarks) -> Iterator[Entry]:
    yield from numbered("image", read_json(path, list), _entry)


def _entry(item: Any) -> Entry:
    if not isinstance(item, dict):
        raise ValueError(f"is {item!r}, expected an object with image and annotations")
    image = next((item[key] for key in _IMAGE_KEYS if key in item), None)
    if not isinstance(image, str) or not image:
        raise ValueError(f"its image is {image!r}, expected the name of an image file")
    shapes = next((item[key] for key in _SHAPE_KEYS if key in item), None)
    if not isinstance(shapes, list):
        raise ValueError(f"its annotations are {shapes!r}, expected a list")
    return Entry(image, shapes)


def _objects(shapes: Sequence[Any], size: Size, place: str, remarks: Remarks) -> Iterator[Object]:
    yield from numbered("annotation", shapes, _object)


def _object(shape: Any) -> Object:
    if not isinstance(shape, dict):
        raise ValueError(f"is {shape!r}, expected an object with label and coordinates")
    label, coordinates = shape.get("label"), shape.get("coordinates")
    if not isinstance(label, str) or not label.strip():
        raise ValueError(f"its label is {label!r}, expected the name of a class")
    if not isinstance(coordinates, dict):
        raise ValueError(f"its coordinates are {coordinates!r}, expected x, y, width and height")
    x, y, width, height = (number(coordinates.get(side)) for side in _SIDES)
    return Object(label.strip(), [x - width / 2, y - height / 2, width, height])


FORMAT = ListFormat(
    NAME="CreateML",
    LAYOUT='CreateML (*.json with a list of images and "coordinates")',
    suffix=".json",
    is_annotation=_is_annotation,
    entries=_entries,
    objects=_objects,
)
