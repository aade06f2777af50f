"""CSV format of Roboflow and of TensorFlow's object detection: one box per line."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Optional

from ...errors import UserError
from .files import number, read_text
from .listed import Entry, ListFormat, Size
from .raw_dataset import Object
from .remarks import Remarks
from .shapes import corner_box

_EDGES = ("xmin", "ymin", "xmax", "ymax")
_BOX = ("class", *_EDGES)
_COLUMNS = ("filename", *_BOX)

_Row = dict[str, str]


def _is_annotation(path: Path) -> bool:
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as file:
            header = file.readline(1000)
    except OSError:
        return False
    names = {name.strip().strip('"').lower() for name in header.split(_separator(header))}
    return names.issuperset(_COLUMNS)


def _separator(header: str) -> str:
    """Return what separates columns; Excel writes semicolons where commas are decimal points."""
    return ";" if header.count(";") > header.count(",") else ","


def _entries(path: Path, remarks: Remarks) -> Iterator[Entry]:
    """Yield an entry per image, whose shapes are line numbers and rows."""
    file = io.StringIO(read_text(path), newline="")
    separator = _separator(file.readline())
    file.seek(0)
    rows = csv.DictReader(file, delimiter=separator, strict=True)
    images: dict[str, list[tuple[int, _Row]]] = {}
    try:
        rows.fieldnames = [name.strip().lower() for name in rows.fieldnames or ()]
        for row in rows:
            if None in row or None in row.values():
                raise ValueError("has another number of columns than the first line")
            row = {name: value.strip() for name, value in row.items()}
            if not row["filename"]:
                raise ValueError("has no filename")
            images.setdefault(row["filename"], []).append((rows.line_num, row))
    except (csv.Error, ValueError) as error:
        raise UserError(f"{path}:{rows.line_num}: {error}; export the file again") from error
    for image, lines in images.items():
        size = _size(lines)
        # A line without a class and a box lists an image without objects.
        yield Entry(image, [line for line in lines if any(map(line[1].get, _BOX))], size)


def _size(lines: Sequence[tuple[int, _Row]]) -> Optional[Size]:
    sizes = {(row.get("width"), row.get("height")) for _, row in lines}
    if len(sizes) > 1:
        raise ValueError(f"line {lines[0][0]}: other lines of its image have another size")
    sides = [number(side or 0) for side in sizes.pop()]
    return (int(sides[0]), int(sides[1])) if min(sides) >= 1 else None


def _objects(
    shapes: Sequence[tuple[int, _Row]], size: Size, place: str, remarks: Remarks
) -> Iterator[Object]:
    for line, row in shapes:
        try:
            if not row["class"]:
                raise ValueError("has no class")
            yield Object(row["class"], corner_box([row[edge] for edge in _EDGES]))
        except ValueError as error:
            raise ValueError(f"line {line}: {error}") from error


FORMAT = ListFormat(
    NAME="CSV",
    LAYOUT="Roboflow's or TensorFlow's CSV (filename, width, height, class, xmin, ymin, xmax, "
    "ymax)",
    suffix=".csv",
    is_annotation=_is_annotation,
    entries=_entries,
    objects=_objects,
)
