"""CVAT's XML format, "CVAT for images 1.1": shapes of many images in one file."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Optional
from xml.etree.ElementTree import Element

import numpy as np

from ...errors import UserError
from .files import holds, number
from .listed import Entry, ListFormat, Size, numbered
from .raw_dataset import ROTATED, Object, bounds, enclosing
from .remarks import Remarks
from .shapes import corner_box, ellipse, encode_mask, mask_box
from .xml_files import read_xml

_NO_AREA = "Shapes without an area (points, polylines), skipped"
_OTHER = "Cuboids and skeletons, skipped"
_EMPTY = "Masks without a pixel, skipped"
_JOINED = "Polygons joined to others of the same label and group"
_TAGS = "Tags of whole images, skipped"
_EDGES = ("xtl", "ytl", "xbr", "ybr")
_SKIPPED = {
    **dict.fromkeys(("points", "polyline"), _NO_AREA),
    **dict.fromkeys(("cuboid", "skeleton"), _OTHER),
}


def _is_annotation(path: Path) -> bool:
    return holds(path, rb"<annotations[\s>]") and holds(path, rb"<(version|meta|image|track)[\s>]")


def _entries(path: Path, remarks: Remarks) -> Iterator[Entry]:
    root = read_xml(path)
    if root.find("track") is not None:
        raise UserError(
            f'{path}: is "CVAT for video 1.1", which has tracks instead of images; export the task '
            'as "CVAT for images 1.1" or "COCO 1.0", with images'
        )
    yield from numbered("image", root.findall("image"), lambda image: _entry(image, remarks))


def _entry(image: Element, remarks: Remarks) -> Entry:
    name = image.get("name", "")
    if not name:
        raise ValueError("has no name")
    tags = len(image.findall("tag"))
    if tags:
        remarks.add(_TAGS, name, tags)
    shapes = [shape for shape in image if shape.tag != "tag"]
    size = (int(_value(image, "width")), int(_value(image, "height")))
    if min(size) < 1:
        raise ValueError(f"its size is {size[0]} x {size[1]}, expected pixels")
    return Entry(name, shapes, size, image.get("subset"))


def _objects(
    shapes: Sequence[Element], size: Size, place: str, remarks: Remarks
) -> Iterator[Object]:
    """Read shapes; polygons of the same label and group are one object, as in CVAT's exports."""
    groups: dict[tuple[str, str], list[Object]] = {}
    read = numbered("shape", shapes, lambda shape: _grouped(shape, size, place, remarks))
    for index, (group, found) in enumerate(read):
        key = (group, found.name) if group and found.polygons else ("", str(index))
        remarks.skip(_JOINED, place, key in groups, objects=key in groups)
        groups.setdefault(key, []).append(found)
    for found in groups.values():
        parts = [part for each in found for part in each.polygons]
        yield found[0] if len(found) == 1 else Object(found[0].name, bounds(parts), parts)


def _grouped(
    shape: Element, size: Size, place: str, remarks: Remarks
) -> Optional[tuple[str, Object]]:
    found = _object(shape, size, place, remarks)
    group = shape.get("group_id") or "0"
    return found and ("" if group == "0" else group, found)


def _object(shape: Element, size: Size, place: str, remarks: Remarks) -> Optional[Object]:
    if shape.tag in _SKIPPED:
        remarks.skip(_SKIPPED[shape.tag], place, objects=1)
        return None
    label = (shape.get("label") or "").strip()
    if not label:
        raise ValueError(f"a {shape.tag} without a label")
    degrees = number(shape.get("rotation") or 0)
    if shape.tag == "box":
        box = corner_box([_value(shape, edge) for edge in _EDGES])
        if degrees % 360:
            remarks.add(ROTATED, place)
        return Object(label, enclosing(box, degrees))
    if shape.tag == "mask":
        return _mask(shape, label, size, place, remarks)
    if shape.tag == "polygon":
        outline = _points(shape)
    elif shape.tag == "ellipse":
        cx, cy, rx, ry = (_value(shape, key) for key in ("cx", "cy", "rx", "ry"))
        outline = ellipse((cx, cy), (rx, ry), degrees)
    else:
        raise ValueError(f"is a {shape.tag!r}, expected a box, polygon, ellipse or mask")
    return Object(label, bounds([outline]), [outline])


def _value(element: Element, key: str) -> float:
    text = element.get(key)
    if text is None:
        raise ValueError(f"a {element.tag} without {key}")
    try:
        return number(text)
    except ValueError as error:
        raise ValueError(f"{key} {error}") from None


def _points(shape: Element) -> list[float]:
    pairs = [pair.split(",") for pair in (shape.get("points") or "").split(";")]
    if len(pairs) < 3 or any(len(pair) != 2 for pair in pairs):
        raise ValueError("its points aren't three or more pairs such as 1.5,2.0;3.5,4.0;5.0,1.0")
    return [number(value) for pair in pairs for value in pair]


def _mask(shape: Element, label: str, size: Size, place: str, remarks: Remarks) -> Optional[Object]:
    """Read a mask, whose runs go along the rows of its box and start with the background."""
    left, top, width, height = (
        int(_value(shape, key)) for key in ("left", "top", "width", "height")
    )
    runs = [int(run) for run in (shape.get("rle") or "").split(",")]
    if min(runs) < 0 or sum(runs) != width * height:
        raise ValueError(f"the runs of its mask don't add up to its {width} x {height} pixels")
    if width > size[0] or height > size[1]:
        raise ValueError(f"its mask is {width} x {height} pixels, larger than its image")
    pixels = np.repeat(np.arange(len(runs)) % 2, runs).reshape(height, width)
    encoded = encode_mask(pixels, left, top, size)
    box = mask_box(encoded)
    if not box[2]:
        remarks.skip(_EMPTY, place, objects=1)
        return None
    return Object(label, box, mask=encoded)


FORMAT = ListFormat(
    NAME="CVAT",
    LAYOUT='"CVAT for images 1.1" (annotations.xml, images/)',
    suffix=".xml",
    is_annotation=_is_annotation,
    entries=_entries,
    objects=_objects,
)
