"""Pascal VOC format: one XML file with boxes for each image."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Optional
from xml.etree import ElementTree

from ...errors import UserError
from .files import FileTree, holds, number, split_of_folders
from .per_image import ImageAnnotation, read_per_image
from .raw_dataset import ROTATED, Object, RawDataset, enclosing
from .remarks import Remarks
from .voc_lists import SETS, read_lists
from .xml_files import read_xml

NAME = "Pascal VOC"
LAYOUT = "Pascal VOC (Annotations/*.xml, JPEGImages/)"
_NOT_LISTED = f"Annotation files that aren't listed in {SETS}, skipped"
_DIFFICULT = "Objects marked as difficult, which count neither as detected nor as missed"
_FROM_ZERO = (
    "warning: Pascal VOC counts pixels from 1, but these boxes are taken to count from 0, since "
    "more of them begin at 0 than at 1"
)
_OTHER = "XML files in other formats, skipped"
_CLIPPED = "Box edges clipped because they are at 0, although Pascal VOC counts pixels from 1"
_POLYGONS = "Objects with polygons, for which only the box is used"
_EDGES = ("xmin", "ymin", "xmax", "ymax")
_NO, _YES = ("", "0", "false", "no", "unspecified"), ("1", "true", "yes")


def detect(tree: FileTree) -> bool:
    """Return whether a folder contains a dataset in this format."""
    return any(_is_annotation(tree.root / file) for file in tree.having(".xml"))


def _is_annotation(path: Path) -> bool:
    return holds(path, rb"<annotation[\s>/]")


def read(tree: FileTree, remarks: Remarks) -> RawDataset:
    """Read a folder that contains a Pascal VOC dataset.

    Boxes count pixels from 1 and include the last pixel, so a box spans `xmin - 1` to `xmax`.

    Raises:
        UserError: An XML file is invalid, or its image is missing; the message contains the file,
            and the line of a list or the number of an object.
    """
    files = []
    for file in tree.having(".xml"):
        if _is_annotation(tree.root / file):
            files.append(file)
        else:
            remarks.skip(_OTHER, file)
    splits = read_lists(tree, files, remarks)
    if splits is None:
        splits = {file: split_of_folders(file) or "train" for file in files}
    for file in files:
        if file not in splits:
            remarks.skip(_NOT_LISTED, file, images=1)
    parsed = {}
    for file, split in splits.items():
        if split != "test":
            parsed[tree.root / file] = _parse(tree.root / file, remarks)
    offset = _offset(parsed.values())

    def place(path: Path) -> ImageAnnotation:
        name, size, objects = parsed.pop(path)
        placed = [_place(found, offset, path.name, remarks) for found in objects]
        return ImageAnnotation(name, size, placed)

    return read_per_image(NAME, tree, splits, place, remarks)


def _offset(parsed: Iterable["_Parsed"]) -> int:
    """Return the number of the first pixel, which isn't 1 in the files of many exporters."""
    starts = [value for _, _, objects in parsed for found in objects for value in found.edges[:2]]
    return int(sum(0 <= value < 1 for value in starts) <= sum(value == 1 for value in starts))


def _place(found: "_Object", offset: int, place: str, remarks: Remarks) -> Object:
    left, top, right, bottom = found.edges
    if not offset:
        remarks.add(_FROM_ZERO, place)
    x, y = left - offset, top - offset
    if offset:
        remarks.add(_CLIPPED, place, (0 <= left < 1) + (0 <= top < 1))
        x, y = (0.0 if -1 <= value < 0 else value for value in (x, y))
    remarks.add(ROTATED, place, found.rotation % 360 != 0)
    box = enclosing([x, y, right - x, bottom - y], found.rotation)
    return Object(found.name, box, crowd=found.difficult)


class _Object(NamedTuple):
    name: str
    edges: tuple[float, ...]  # as in the file
    rotation: float  # degrees
    difficult: bool


_Parsed = tuple[str, Optional[tuple[int, int]], list[_Object]]  # image, size, objects


def _parse(path: Path, remarks: Remarks) -> _Parsed:
    root = read_xml(path)
    name = root.findtext("filename") or root.findtext("path") or ""
    objects = []
    try:
        where = "size"
        size = _size(root)
        for index, found in enumerate(root.iterfind("object"), 1):
            where = f"object {index}"
            objects.append(_object(found, path.name, remarks))
    except ValueError as error:
        raise UserError(f"{path}: {where}: {error}") from error
    return name.strip(), size, objects


def _size(root: ElementTree.Element) -> Optional[tuple[int, int]]:
    width, height = (number(root.findtext(f"size/{side}") or 0) for side in ("width", "height"))
    return (int(width), int(height)) if width > 0 and height > 0 else None


def _object(found: ElementTree.Element, place: str, remarks: Remarks) -> _Object:
    name = (found.findtext("name") or "").strip()
    if not name:
        raise ValueError("has no name; expected a class, such as <name>cat</name>")
    left, top, right, bottom = edges = tuple(_edge(found, edge) for edge in _EDGES)
    if left > right or top > bottom:
        raise ValueError(
            f"its box spans ({left:g}, {top:g}) to ({right:g}, {bottom:g}), expected xmin <= xmax "
            "and ymin <= ymax; swap the values"
        )
    difficult = (found.findtext("difficult") or "").strip().lower()
    if difficult not in (*_NO, *_YES):
        raise ValueError(f"<difficult> is {difficult!r}, expected 0 or 1")
    remarks.add(_DIFFICULT, place, difficult in _YES)
    remarks.add(_POLYGONS, place, found.find("polygon") is not None)
    return _Object(name, edges, _rotation(found), difficult in _YES)


def _rotation(found: ElementTree.Element) -> float:
    """Return the angle by which CVAT's box is rotated, in degrees."""
    for attribute in found.iterfind("attributes/attribute"):
        if attribute.findtext("name") == "rotation":
            return number(attribute.findtext("value") or 0)
    return 0


def _edge(found: ElementTree.Element, edge: str) -> float:
    text = found.findtext(f"bndbox/{edge}")
    if text is None and (
        found.find("robndbox") is not None or found.find("polygon/pt") is not None
    ):
        raise ValueError(
            "is a rotated box or a polygon, which isn't Pascal VOC; export boxes (bndbox), or COCO"
        )
    if text is None:
        raise ValueError(f"has no {edge}; expected a bndbox with xmin, ymin, xmax and ymax")
    try:
        return number(text)
    except ValueError as error:
        raise ValueError(f"{edge} {error}; expected pixels, counted from 1") from None
