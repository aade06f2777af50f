"""Pascal VOC: an XML file of boxes for each image."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Optional
from xml.etree import ElementTree

from ...errors import UserError
from .files import Tree, holds, number, read_bytes, read_text, split_of_folders, stem
from .pairs import Annotation, read_pairs
from .source import Object, Source

FORM = "Pascal VOC"
LOOKS_LIKE = "Pascal VOC (Annotations/*.xml, JPEGImages/)"
_SETS = "ImageSets/Main/"
_SPLITS = {"train": "train", "val": "val", "test": "test", "trainval": "train"}
_NOT_LISTED = f"Annotation files that no list in {_SETS} names, left out"
_DIFFICULT = "Objects marked difficult, kept as crowd: they count neither as found nor as missed"
_FROM_ZERO = "Edges at 0 although the form counts from 1, clipped"


def find(tree: Tree) -> bool:
    """Tell whether a folder holds a data set of this form."""
    return any(_is_annotation(tree.root / file) for file in tree.having(".xml"))


def _is_annotation(path: Path) -> bool:
    return holds(path, rb"<annotation[\s>/]")


def read(tree: Tree) -> Source:
    """Read a folder.

    Boxes of the form count pixels from 1 and include the last one, so `xmin` to `xmax` begin at
    `xmin - 1` and end at `xmax`.

    Raises:
        UserError: An XML file is not as the form wants it, or its image isn't there; the message
            names the file, and the line of a list or the number of an object.
    """
    remarks: Counter = Counter()
    files = [file for file in tree.having(".xml") if _is_annotation(tree.root / file)]
    splits = _listed(tree, files) or {file: split_of_folders(file) or "train" for file in files}
    remarks[_NOT_LISTED] = len(files) - len(splits)
    return read_pairs(FORM, tree, splits, partial(_parse, remarks=remarks), remarks)


def _listed(tree: Tree, files: Iterable[str]) -> dict[str, str]:
    """Give the split of each annotation file that a list names."""
    lists = {
        (prefix, name): file
        for file in tree.having(".txt")
        for prefix, found, name in [file.rpartition(_SETS)]
        if found
    }
    chosen: dict[str, tuple[str, str]] = {}
    for name, split in _SPLITS.items():
        for prefix in sorted({prefix for prefix, _ in lists}):
            list_file = lists.get((prefix, f"{name}.txt"))
            if list_file is None:
                continue
            stems = {stem(file): file for file in files if file.startswith(prefix)}
            for line, entry in _entries(tree.root / list_file, stems):
                where = f"{tree.root / list_file}:{line}"
                if entry not in stems:
                    raise UserError(
                        f"{where}: no annotation file {entry}.xml; add it or take out the line"
                    )
                _, before = chosen.setdefault(stems[entry], (split, list_file))
                if name != "trainval" and before != list_file:
                    raise UserError(f"{where}: {entry} is in {before}, too; list it once")
    return {file: split for file, (split, _) in chosen.items()}


def _entries(path: Path, stems: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    for line, text in enumerate(read_text(path).splitlines(), 1):
        entry = text.strip()
        if entry:
            # Some lists end lines with 1 or -1, some name the image's file.
            guesses = (entry, stem(entry), entry.split()[0])
            yield line, next((guess for guess in guesses if guess in stems), entry)


def _parse(path: Path, remarks: Counter) -> Annotation:
    root = _root(path)
    name = root.findtext("filename") or root.findtext("path") or ""
    objects = []
    try:
        where = "size"
        size = _size(root)
        for index, found in enumerate(root.iterfind("object"), 1):
            where = f"object {index}"
            objects.append(_object(found, remarks))
    except ValueError as error:
        raise UserError(f"{path}: {where}: {error}") from error
    return Annotation(name.strip(), size, objects)


def _root(path: Path) -> ElementTree.Element:
    content = read_bytes(path)
    # Entities are declared there: a small file that unfolds to gigabytes.
    if b"<!DOCTYPE" in content.replace(b"\0", b""):
        raise UserError(f"{path}: has a DOCTYPE, which the form doesn't need; remove it")
    try:
        return ElementTree.fromstring(content)  # noqa: S314, has no entities
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        line = getattr(error, "position", (1,))[0]
        raise UserError(f"{path}:{line}: not XML ({error}); export it again") from error


def _size(root: ElementTree.Element) -> Optional[tuple[int, int]]:
    width, height = (number(root.findtext(f"size/{side}") or 0) for side in ("width", "height"))
    return (int(width), int(height)) if width > 0 and height > 0 else None


def _object(found: ElementTree.Element, remarks: Counter) -> Object:
    name = (found.findtext("name") or "").strip()
    if not name:
        raise ValueError("has no name; expected its class: <name>cat</name>")
    left, top, right, bottom = (_edge(found, edge) for edge in ("xmin", "ymin", "xmax", "ymax"))
    if left > right or top > bottom:
        raise ValueError(
            f"its box runs from ({left:g}, {top:g}) to ({right:g}, {bottom:g}); expected xmin <= "
            "xmax and ymin <= ymax: exchange them"
        )
    for edge in (left, top):
        remarks[_FROM_ZERO] += 0 <= edge < 1
    x, y = (0.0 if 0 <= edge < 1 else edge - 1 for edge in (left, top))
    difficult = number(found.findtext("difficult") or 0) != 0
    remarks[_DIFFICULT] += difficult
    return Object(name, [x, y, right - x, bottom - y], crowd=difficult)


def _edge(found: ElementTree.Element, edge: str) -> float:
    text = found.findtext(f"bndbox/{edge}")
    if text is None:
        raise ValueError(f"has no {edge}; expected a bndbox with xmin, ymin, xmax and ymax")
    try:
        return number(text)
    except ValueError as error:
        raise ValueError(f"{edge} {error}; expected pixels, counted from 1") from None
