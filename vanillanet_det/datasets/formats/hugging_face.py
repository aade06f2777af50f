"""Hugging Face's image folders: a metadata.jsonl with a line for each image."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...errors import UserError
from .files import holds, number, read_text
from .json_files import parse_json
from .listed import Entry, ListFormat, Size, numbered
from .raw_dataset import Object
from .remarks import Remarks
from .yolo_classes import ClassLists

_CATEGORY_KEYS = ("category", "categories", "label", "labels", "category_id", "class")
_BOX_KEYS = ("bbox", "bboxes", "boxes")
_NAMES = "classes.txt"


def _is_annotation(path: Path) -> bool:
    return path.name == "metadata.jsonl" and holds(path, rb'"file_name"\s*:')


def _entries(path: Path, remarks: Remarks) -> Iterator[Entry]:
    names = _class_names(path)
    for line, text in enumerate(read_text(path).split("\n"), 1):
        if text.strip():
            try:
                yield _entry(parse_json(text, path, line), names)
            except UserError:
                raise
            except ValueError as error:
                raise ValueError(f"line {line}: {error}") from error


def _class_names(path: Path) -> Sequence[str]:
    for folder in (path.parent, path.parent.parent):
        if (folder / _NAMES).is_file():
            return ClassLists([folder / _NAMES]).names[folder / _NAMES]
    return ()


def _entry(item: Any, names: Sequence[str]) -> Entry:
    if not isinstance(item, dict) or not isinstance(item.get("file_name"), str):
        raise ValueError("has no file_name; expected an object with file_name and objects")
    objects = item.get("objects")
    if isinstance(objects, dict):  # lists of equal length
        columns = [
            _column(objects, _BOX_KEYS, "bbox"),
            _column(objects, _CATEGORY_KEYS, "category"),
        ]
        if len(columns[0]) != len(columns[1]):
            raise ValueError(
                f"has {len(columns[0])} boxes but {len(columns[1])} categories, expected one each"
            )
        shapes = list(zip(*columns))
    elif isinstance(objects, list) or ("objects" in item and objects is None):  # null: no object
        shapes = [(_value(each, _BOX_KEYS), _value(each, _CATEGORY_KEYS)) for each in objects or ()]
    else:
        raise ValueError(f"its objects are {objects!r}, expected bbox and category of each object")
    return Entry(item["file_name"], [(box, category, names) for box, category in shapes])


def _column(objects: dict, keys: Sequence[str], expected: str) -> list:
    values = _value(objects, keys)
    if not isinstance(values, list):
        raise ValueError(f"its objects have no list {expected}; found {', '.join(objects)}")
    return values


def _value(item: Any, keys: Sequence[str]) -> Any:
    return (
        next((item[key] for key in keys if key in item), None) if isinstance(item, dict) else None
    )


def _objects(shapes: Sequence[Any], size: Size, place: str, remarks: Remarks) -> Iterator[Object]:
    yield from numbered("object", shapes, _object)


def _object(shape: tuple[Any, Any, Sequence[str]]) -> Object:
    box, category, names = shape
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError(f"its box is {box!r}, expected [x, y, width, height]")
    return Object(_name(category, names), list(map(number, box)))


def _name(category: Any, names: Sequence[str]) -> str:
    if isinstance(category, str) and category.strip():
        return category.strip()
    if type(category) is not int:
        raise ValueError(f"its category is {category!r}, expected the name of a class")
    if category not in range(len(names)) or not names[category]:
        known = f"{_NAMES} has {len(names)} names" if names else f"no {_NAMES} names the categories"
        raise ValueError(
            f"its category is {category}, but {known}; write a {_NAMES} next to metadata.jsonl, "
            "with one name per line, in the order of the categories, from 0"
        )
    return names[category]


FORMAT = ListFormat(
    NAME="Hugging Face image folder",
    LAYOUT="Hugging Face image folder (metadata.jsonl with file_name and objects)",
    suffix=".jsonl",
    is_annotation=_is_annotation,
    entries=_entries,
    objects=_objects,
)
