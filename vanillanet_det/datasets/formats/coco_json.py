"""COCO format: reads and validates an annotation file, and fills in optional keys."""

import contextlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from ...errors import UserError, some
from .coco_outlines import outline_area, outline_box, read_numbers, read_outline, turn_outline
from .files import number
from .json_files import read_json
from .raw_dataset import ROTATED, enclosing
from .remarks import Remarks

_KEYS = ("images", "annotations", "categories")
_AREA = "Missing or zero areas, computed from segmentations or boxes"
_BOX = "Missing boxes, computed from segmentations"
_IDS = "Annotations renumbered because not all ids are unique positive integers"
_NEW = "Entries of {} renumbered because not all ids are unique integers"
# COCO's evaluation uses doubles, which represent these integers exactly.
_PLAIN = re.compile(r"-?\d{1,15}")
_UNUSED = "Categories without annotations that have the name of another one, skipped"
# What files of COCO's other tasks have in their annotations.
_OTHER_TASKS = dict(segments_info="panoptic segments", caption="captions", keypoints="keypoints")


def read_coco_json(path: Path, remarks: Remarks) -> dict[str, Any]:
    """Read an annotation file.

    Args:
        path: The file.
        remarks: What was skipped or changed; updated in place.

    Returns:
        Images with `id`, `file_name`, `width` and `height` (0 if missing in the file); categories
        with `id` and `name`; annotations with `id`, `image_id`, `category_id`, `bbox`, `area`,
        `iscrowd` and, if present, `segmentation`. Numbers and ids that are written as strings are
        converted, and other keys are kept.

    Raises:
        UserError: An entry is invalid; the message contains its id.
    """
    content = read_json(path)
    missing = [key for key in _KEYS if not isinstance(content.get(key), list)]
    if missing:
        raise UserError(
            f"{path}: no list {some(missing)}; expected COCO's {', '.join(_KEYS)}; export the "
            "instances, not only captions or keypoints"
        )
    _check_task(content, path)
    if not content["images"]:
        raise UserError(f"{path}: lists no images; export the file again")
    parts, ids = {}, {}
    for key, read in (("images", _image), ("categories", _category)):
        parts[key] = [_read(read, entry, key, i, path) for i, entry in enumerate(content[key], 1)]
        _check_unique([entry["id"] for entry in parts[key]], f"{key} have the id", path)
        ids[key] = _Ids([entry["id"] for entry in parts[key]])
        if not ids[key].are_kept:
            remarks.add(_NEW.format(key), path.name, len(parts[key]))
        for entry in parts[key]:
            entry["id"] = ids[key].find(entry["id"])
    parts["categories"] = _drop_twins(parts["categories"], ids["categories"], content, remarks)
    names = [repr(category["name"]) for category in parts["categories"]]
    _check_unique(names, "categories have the name", path)

    def annotation(entry: dict) -> dict:
        return _annotation(entry, ids["images"], ids["categories"], remarks)

    parts["annotations"] = [
        _read(annotation, entry, "annotations", i, path)
        for i, entry in enumerate(content["annotations"], 1)
    ]
    _renumber(parts["annotations"], remarks)
    info = content.get("info")
    return dict(info=info if isinstance(info, dict) else {}, **parts)


def _check_task(content: Mapping[str, Any], path: Path) -> None:
    for index, entry in enumerate(content["annotations"]):
        if isinstance(entry, dict) and not ("bbox" in entry or "segmentation" in entry):
            for key, task in _OTHER_TASKS.items():
                if key in entry:
                    raise UserError(
                        f"{path}: annotations[{index}] has {task}, but no bbox; export the "
                        "instances, not only captions, keypoints or panoptic segments"
                    )


def _drop_twins(
    categories: Sequence[dict], ids: "_Ids", content: Mapping[str, Any], remarks: Remarks
) -> list[dict]:
    """Drop unused categories that have the name of another, as Roboflow's root category may."""
    count = Counter(category["name"] for category in categories)
    if not any(number > 1 for number in count.values()):
        return list(categories)
    used = set()
    for entry in content["annotations"]:
        with contextlib.suppress(AttributeError, ValueError):  # reported when it is read
            used.add(ids.find(entry.get("category_id")))
    kept = []
    for category in categories:
        if count[category["name"]] > 1 and category["id"] not in used:
            count[category["name"]] -= 1
            remarks.add(_UNUSED, f"{category['name']} with id {category['id']}")
        else:
            kept.append(category)
    return kept


def _read(read: Any, entry: Any, key: str, position: int, path: Path) -> dict:
    try:
        return read(entry)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        one = {"images": "image", "categories": "category", "annotations": "annotation"}[key]
        name = entry.get("id") if isinstance(entry, dict) else None
        where = f"number {position} (it has no id)" if name is None else name
        what = f"has no {error}" if isinstance(error, KeyError) else error
        raise UserError(
            f"{path}: {one} {where}: {what}; correct the entry or export the file again"
        ) from error


def _check_unique(values: Sequence[str], what: str, path: Path) -> None:
    twice = [value for value, count in Counter(values).items() if count > 1]
    if twice:
        raise UserError(f"{path}: several {what} {twice[0]}; expected unique values")


class _Ids:
    """Mapping from the ids of images or categories to integers.

    Ids are kept if all of them are integers, which may be written as strings. Otherwise, the
    entries are renumbered, because COCO's evaluation can't compare strings with numbers, and
    because `007` and `7` are different ids.

    Attributes:
        are_kept: Whether the ids are kept.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        numbers = [int(text) for text in texts if _PLAIN.fullmatch(text)]
        self.are_kept = len(set(numbers)) == len(texts)
        self._numbers: dict[Any, int] = (
            {kept: kept for kept in numbers}
            if self.are_kept
            else {text: position for position, text in enumerate(texts, 1)}
        )

    def find(self, value: Any) -> Optional[int]:
        """Return the integer for an id, or None if no entry has this id."""
        text = _id(value)
        is_number = self.are_kept and _PLAIN.fullmatch(text)
        return self._numbers.get(int(text) if is_number else text)


def _id(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) not in (int, str):
        raise ValueError(f"an id is {value!r}, expected an integer")
    return str(value)


def _image(entry: dict) -> dict:
    name = entry["file_name"]
    if not isinstance(name, str) or not name:
        raise ValueError(f"file_name is {name!r}, expected the name of an image file")
    sides = {side: int(number(entry.get(side) or 0)) for side in ("width", "height")}
    return {**entry, **sides, "id": _id(entry["id"]), "file_name": name}


def _category(entry: dict) -> dict:
    name = str(entry["name"]).strip()
    if not name:
        raise ValueError("its name is empty; expected the name of a class")
    return {**entry, "id": _id(entry["id"]), "name": name}


def _annotation(entry: dict, images: _Ids, categories: _Ids, remarks: Remarks) -> dict:
    image_id, category_id = images.find(entry["image_id"]), categories.find(entry["category_id"])
    for key, found in (("image_id", image_id), ("category_id", category_id)):
        if found is None:
            raise ValueError(f"its {key} {entry[key]!r} isn't listed in the file")
    read = {**entry, "image_id": image_id, "category_id": category_id}
    place = f"annotation {entry.get('id')}"
    outline = read_outline(read.pop("segmentation", None), place, remarks)
    box = entry.get("bbox")
    if not box and not outline:
        raise ValueError("has neither bbox nor segmentation; expected bbox: [x, y, width, height]")
    remarks.add(_BOX, place, not box)
    read["bbox"] = read_numbers(box, "bbox") if box else outline_box(outline)
    if len(read["bbox"]) != 4:
        raise ValueError(f"its bbox is {box}, expected four numbers: [x, y, width, height]")
    attributes = entry.get("attributes")
    rotation = number(attributes.get("rotation") or 0) if isinstance(attributes, dict) else 0
    if rotation % 360:
        # The box that is written isn't to be rotated once more.
        read["attributes"] = {k: v for k, v in attributes.items() if k != "rotation"}
    if rotation % 360 and box:
        remarks.add(ROTATED, place)
        outline = turn_outline(outline, read["bbox"], rotation)
        read["bbox"] = enclosing(read["bbox"], rotation)
    if outline:
        read["segmentation"] = outline
    read["area"] = number(entry.get("area") or 0)
    width, height = read["bbox"][2:]
    if read["area"] <= 0 and width > 0 and height > 0:
        # MMDetection silently drops annotations with area 0.
        remarks.add(_AREA, place)
        read["area"] = outline_area(outline) or width * height
    crowd = entry.get("iscrowd") or 0
    read["iscrowd"] = int(crowd is True or number(crowd))
    return read


def _renumber(annotations: Sequence[dict], remarks: Remarks) -> None:
    """Renumber annotations unless all ids are unique and positive.

    COCO's evaluation interprets id 0 as no match. No other entry refers to these ids.
    """
    ids = [annotation.get("id") for annotation in annotations]
    if all(type(i) is int and 0 < i < 1 << 63 for i in ids) and len(set(ids)) == len(ids):
        return
    remarks.add(_IDS, count=len(ids))
    for position, annotation in enumerate(annotations, 1):
        annotation["id"] = position
