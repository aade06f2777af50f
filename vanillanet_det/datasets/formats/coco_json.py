"""COCO: the content of one annotation file, checked and with what may be left out filled in."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Optional

from ...errors import UserError
from .files import number, read_json, some
from .source import area, bounds

_KEYS = ("images", "annotations", "categories")
_AREA = "Annotations without an area, or with 0 for a box that has one, computed"
_BOX = "Annotations without a box, computed from their outlines"
_IDS = "Annotation ids that are missing or not unique, given anew"
_PARTS = "Parts of outlines with less than three points, left out"


def read_content(path: Path, remarks: Counter) -> dict[str, Any]:
    """Read an annotation file.

    Args:
        path: The file.
        remarks: What was met is counted here.

    Returns:
        Images with `id`, `file_name`, `width` and `height` (0 where the file doesn't tell);
        categories with `id` and `name`; annotations with `id`, `image_id`, `category_id`, `bbox`,
        `area`, `iscrowd` and, if there is one, `segmentation`. Numbers are numbers, and other
        keys are kept.

    Raises:
        UserError: Something is not as the form wants it; the message has the id.
    """
    content = read_json(path)
    missing = [key for key in _KEYS if not isinstance(content.get(key), list)]
    if missing:
        raise UserError(
            f"{path}: no list {some(missing)}; expected COCO's {', '.join(_KEYS)}. Export the "
            "instances, not captions or keypoints alone"
        )
    if not content["images"]:
        raise UserError(f"{path}: lists no image; export it again")
    parts = {}
    for key, read in (("images", _image), ("categories", _category)):
        parts[key] = [_read(read, entry, key, i, path) for i, entry in enumerate(content[key], 1)]
        _check_unique([entry["id"] for entry in parts[key]], f"{key} have the id", path)
    _check_unique([c["name"] for c in parts["categories"]], "categories have the name", path)
    image_ids = {image["id"] for image in parts["images"]}
    category_ids = {category["id"] for category in parts["categories"]}

    def annotation(entry: dict) -> dict:
        return _annotation(entry, image_ids, category_ids, remarks)

    parts["annotations"] = [
        _read(annotation, entry, "annotations", i, path)
        for i, entry in enumerate(content["annotations"], 1)
    ]
    _number_anew(parts["annotations"], remarks)
    info = content.get("info")
    return dict(info=info if isinstance(info, dict) else {}, **parts)


def _read(read: Any, entry: Any, key: str, position: int, path: Path) -> dict:
    try:
        return read(entry)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        one = {"images": "image", "categories": "category", "annotations": "annotation"}[key]
        name = entry.get("id") if isinstance(entry, dict) else None
        where = f"number {position} (it has no id)" if name is None else name
        what = f"has no {error}" if isinstance(error, KeyError) else error
        raise UserError(f"{path}: {one} {where}: {what}; correct it or export it again") from error


def _check_unique(values: Sequence[Any], what: str, path: Path) -> None:
    twice = [value for value, count in Counter(values).items() if count > 1]
    if twice:
        raise UserError(f"{path}: several {what} {twice[0]!r}; make them unique")


def _id(value: Any) -> Any:
    if isinstance(value, str):
        return int(value) if value.isdecimal() else value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if type(value) is not int:
        raise ValueError(f"an id is {value!r}, expected a whole number")
    return value


def _image(entry: dict) -> dict:
    name = entry["file_name"]
    if not isinstance(name, str) or not name:
        raise ValueError(f"file_name is {name!r}, expected the name of its file")
    name = name.replace("\\", "/")
    if name.startswith("/") or name[1:2] == ":":
        raise ValueError(
            f"the file name {name!r} leaves the data folder; expected one relative to its images"
        )
    sides = {side: int(number(entry.get(side) or 0)) for side in ("width", "height")}
    return {**entry, **sides, "id": _id(entry["id"]), "file_name": name}


def _category(entry: dict) -> dict:
    name = str(entry["name"]).strip()
    if not name:
        raise ValueError("its name is empty, expected one")
    return {**entry, "id": _id(entry["id"]), "name": name}


def _annotation(entry: dict, image_ids: set, category_ids: set, remarks: Counter) -> dict:
    image_id, category_id = _id(entry["image_id"]), _id(entry["category_id"])
    if image_id not in image_ids:
        raise ValueError(f"its image_id {image_id!r} is of no image in the file")
    if category_id not in category_ids:
        raise ValueError(f"its category_id {category_id!r} is of no category in the file")
    read = {**entry, "image_id": image_id, "category_id": category_id}
    outline = _segmentation(read.pop("segmentation", None), remarks)
    if outline:
        read["segmentation"] = outline
    box = entry.get("bbox")
    if not box and not outline:
        raise ValueError("has neither bbox nor segmentation; expected bbox: [x, y, width, height]")
    remarks[_BOX] += not box
    read["bbox"] = _numbers(box, "bbox") if box else _box_around(outline)
    if len(read["bbox"]) != 4:
        raise ValueError(f"its bbox {box} has not four numbers; expected [x, y, width, height]")
    read["area"] = number(entry.get("area") or 0)
    width, height = read["bbox"][2:]
    if read["area"] <= 0 and width > 0 and height > 0:
        # MMDetection passes over annotations with area 0 and says nothing.
        remarks[_AREA] += 1
        read["area"] = _area(outline) or width * height
    read["iscrowd"] = int(number(entry.get("iscrowd") or 0))
    return read


def _numbers(values: Any, what: str) -> list[float]:
    if not isinstance(values, list):
        raise ValueError(f"its {what} is {values!r}, expected a list of numbers")
    if set(map(type, values)) <= {int, float}:
        return values
    try:
        return [number(value) for value in values]
    except ValueError as error:
        raise ValueError(f"its {what}: {error}") from None


def _segmentation(outline: Any, remarks: Counter) -> Any:
    """Read polygons or run lengths; None if there are neither."""
    if isinstance(outline, dict):
        if not isinstance(outline.get("counts"), (list, str)) or "size" not in outline:
            raise ValueError("its segmentation has no counts and size; expected COCO's run lengths")
        return {**outline, "size": [int(side) for side in _numbers(outline["size"], "size")]}
    if not outline:
        return None
    if not isinstance(outline, list):
        raise ValueError(f"its segmentation is a {type(outline).__name__}, expected polygons")
    if not isinstance(outline[0], list):  # one polygon that isn't in a list
        outline = [outline]
    parts = [_numbers(part, "segmentation") for part in outline]
    if any(len(part) % 2 for part in parts):
        raise ValueError(
            "its segmentation has an odd number of numbers; expected x1, y1, x2, y2, ..."
        )
    kept = [part for part in parts if len(part) >= 6]
    remarks[_PARTS] += len(parts) - len(kept)
    return kept


def _run_lengths(outline: Mapping[str, Any]) -> dict:
    from pycocotools import mask

    if isinstance(outline["counts"], list):
        return mask.frPyObjects(dict(outline), *outline["size"])
    return dict(outline)


def _box_around(outline: Any) -> list[float]:
    if isinstance(outline, list):
        return bounds(outline)
    from pycocotools import mask

    return mask.toBbox(_run_lengths(outline)).tolist()


def _area(outline: Any) -> Optional[float]:
    if not outline or isinstance(outline, list):
        return sum(map(area, outline or ()))
    from pycocotools import mask

    return float(mask.area(_run_lengths(outline)))


def _number_anew(annotations: Sequence[dict], remarks: Counter) -> None:
    """Make ids unique, which MMDetection relies on; nothing else refers to them."""
    seen: set = set()
    numeric = [a["id"] for a in annotations if isinstance(a.get("id"), int)]
    free = chain(range(max(numeric, default=0) + 1, 1 << 62))
    for annotation in annotations:
        if annotation.get("id") is None or annotation["id"] in seen:
            annotation["id"] = next(free)
            remarks[_IDS] += 1
        seen.add(annotation["id"])
