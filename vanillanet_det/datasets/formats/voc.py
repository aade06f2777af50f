"""Pascal VOC format: one XML file with boxes for each image."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Optional
from xml.etree import ElementTree

from ...errors import UserError
from .files import FileTree, holds, number, read_text, some, split_of_folders, stem
from .per_image import ImageAnnotation, read_per_image
from .raw_dataset import Object, RawDataset
from .remarks import Remarks
from .xml_files import read_xml

NAME = "Pascal VOC"
LAYOUT = "Pascal VOC (Annotations/*.xml, JPEGImages/)"
_SETS = "ImageSets/Main/"
_FILES = "Annotations/"
_SPLITS = {"train": "train", "val": "val", "test": "test", "trainval": "train"}
_NOT_LISTED = f"Annotation files that aren't listed in {_SETS}, skipped"
_DIFFICULT = "Objects marked as difficult, which count neither as detected nor as missed"
_FROM_ZERO = "Box edges clipped because they are at 0, although Pascal VOC counts pixels from 1"


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
    files = [file for file in tree.having(".xml") if _is_annotation(tree.root / file)]
    splits = _listed(tree, files) or {file: split_of_folders(file) or "train" for file in files}
    for file in files:
        if file not in splits:
            remarks.skip(_NOT_LISTED, file, images=1)
    return read_per_image(NAME, tree, splits, partial(_parse, remarks=remarks), remarks)


def _listed(tree: FileTree, files: Iterable[str]) -> dict[str, str]:
    """Return the split of each annotation file that is listed."""
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
            named = _AnnotationIndex(files, prefix)
            for line, entry in _entries(tree.root / list_file):
                where = f"{tree.root / list_file}:{line}"
                found = named.find(entry)
                if not found:
                    raise UserError(
                        f"{where}: no annotation file {entry}.xml; add the file or remove the line"
                    )
                if len(found) > 1:
                    raise UserError(
                        f"{where}: {entry} could be {some(found, 2)}; write its path relative to "
                        f"{_FILES} without the extension, or keep only one file with this name"
                    )
                _, before = chosen.setdefault(found[0], (split, list_file))
                if name != "trainval" and before != list_file:
                    raise UserError(f"{where}: {entry} is also in {before}; list it only once")
    return {file: split for file, (split, _) in chosen.items()}


def _entries(path: Path) -> Iterator[tuple[int, str]]:
    for line, text in enumerate(read_text(path).splitlines(), 1):
        entry = text.strip()
        if entry:
            yield line, entry


class _AnnotationIndex:
    """An index to look up annotation files by the names that lists use."""

    def __init__(self, files: Iterable[str], folder: str) -> None:
        self._by_path: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for file in files:
            if file.startswith(folder):
                below = file[len(folder) :].partition("/")[2] or file[len(folder) :]
                self._by_path[below.rpartition(".")[0]].append(file)
                self._by_stem[stem(file)].append(file)
        self._usual = folder + _FILES

    def find(self, entry: str) -> list[str]:
        """Find the files that an entry of a list could refer to, by path or else by name."""
        # In some lists, lines end with 1 or -1; other lists contain image files.
        texts = [guess for text in (entry, entry.split()[0]) for guess in (text, _bare(text))]
        for table, spellings in ((self._by_path, _ends), (self._by_stem, _name)):
            for name in (name for text in texts for name in spellings(text)):
                files = table.get(name, [])
                usual = [file for file in files if file.startswith(self._usual)]
                if files:
                    return usual or files
        return []


def _bare(text: str) -> str:
    """Remove the extension of a path."""
    folder, slash, name = text.rpartition("/")
    return folder + slash + (name.rpartition(".")[0] or name)


def _ends(path: str) -> list[str]:
    """List a path and its suffixes that include a folder: `a/b/c` and `b/c`."""
    parts = path.split("/")
    return ["/".join(parts[start:]) for start in range(max(1, len(parts) - 1))]


def _name(path: str) -> list[str]:
    return [path.rpartition("/")[2]]


def _parse(path: Path, remarks: Remarks) -> ImageAnnotation:
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
    return ImageAnnotation(name.strip(), size, objects)


def _size(root: ElementTree.Element) -> Optional[tuple[int, int]]:
    width, height = (number(root.findtext(f"size/{side}") or 0) for side in ("width", "height"))
    return (int(width), int(height)) if width > 0 and height > 0 else None


def _object(found: ElementTree.Element, place: str, remarks: Remarks) -> Object:
    name = (found.findtext("name") or "").strip()
    if not name:
        raise ValueError("has no name; expected a class, such as <name>cat</name>")
    left, top, right, bottom = (_edge(found, edge) for edge in ("xmin", "ymin", "xmax", "ymax"))
    if left > right or top > bottom:
        raise ValueError(
            f"its box spans ({left:g}, {top:g}) to ({right:g}, {bottom:g}), expected xmin <= xmax "
            "and ymin <= ymax; swap the values"
        )
    for edge in (left, top):
        remarks.add(_FROM_ZERO, place, 0 <= edge < 1)
    x, y = (0.0 if 0 <= edge < 1 else edge - 1 for edge in (left, top))
    difficult = number(found.findtext("difficult") or 0) != 0
    remarks.add(_DIFFICULT, place, difficult)
    return Object(name, [x, y, right - x, bottom - y], crowd=difficult)


def _edge(found: ElementTree.Element, edge: str) -> float:
    text = found.findtext(f"bndbox/{edge}")
    if text is None:
        raise ValueError(f"has no {edge}; expected a bndbox with xmin, ymin, xmax and ymax")
    try:
        return number(text)
    except ValueError as error:
        raise ValueError(f"{edge} {error}; expected pixels, counted from 1") from None
