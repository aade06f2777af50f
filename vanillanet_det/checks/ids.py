"""Checks that MMDetection and COCO's evaluation can use the ids of an annotation file."""

from collections.abc import Iterable, Iterator
from typing import Any, Optional

import numpy as np

from ..installation import command
from .annotation_file import AnnotationFile, hashable
from .finding import ERROR, WARNING, Finding

_RENUMBER = f"number the {{}} from 1, as {command('finetune')} does when it converts a dataset"
_FASTER = "faster-coco-eval, which computes AP here, fails on such ids"
_SLOWER = "or set backend='pycocotools' in FasterCocoMetric"
_DROPPED = "MMDetection silently drops such annotations"


def check_ids(file: AnnotationFile) -> Iterator[Finding]:
    """Check that ids are usable and unique, and that annotations refer to existing entries.

    Args:
        file: The annotation file.

    Yields:
        A finding for each kind of mistake.
    """
    is_faster = any(evaluator.is_faster for evaluator in file.dataset.evaluators)
    for name, effect in (
        ("images", "MMDetection only keeps one of these images"),
        ("annotations", "MMDetection fails on duplicate ids"),
    ):
        entries = getattr(file, name)
        yield from file.findings(
            ERROR,
            "id-duplicate",
            _repeated(hashable(entry.get("id")) for entry in entries if "id" in entry),
            lambda index, name=name, entries=entries: (
                f"{name}: id {[e for e in entries if 'id' in e][index]['id']} is used twice"
            ),
            f"{effect}; renumber the {name}",
        )
    names = [hashable(image.get("file_name")) for image in file.images if image.get("file_name")]
    yield from file.findings(
        WARNING,
        "image-repeated",
        _repeated(names),
        lambda index: f"images: {names[index]} is listed twice",
        "in each of its entries, the objects of the others count as background; merge them",
    )
    yield from file.findings(
        ERROR,
        "image-unknown",
        np.flatnonzero(file.image_indices < 0),
        lambda index: f"{file.name(index)}: the file lists no image with this id",
        f"{_DROPPED}; list the image, or remove the annotations",
    )
    yield from file.findings(
        ERROR,
        "category-unknown",
        np.flatnonzero(file.category_indices < 0),
        lambda index: (
            f"{file.name(index)}: the file lists no category with category_id "
            f"{file.annotations[index].get('category_id')!r}"
        ),
        f"{_DROPPED}; list the category, or correct the id",
    )
    for name in ("images", "annotations", "categories"):
        yield from _check_types(file, name, is_faster)
    if not file.dataset.key.startswith("train"):
        yield from file.findings(
            WARNING,
            "id-zero",
            [i for i, a in enumerate(file.annotations) if _is_ignored(a.get("id"), is_faster)],
            lambda index: f"{file.name(index)}: its id is {file.annotations[index]['id']!r}",
            "COCO's evaluation interprets id 0 as no match, and faster-coco-eval also negative "
            "ids, so AP is too low; number the annotations from 1",
        )


def _repeated(values: Iterable[Any]) -> list[int]:
    values = list(values)
    if len(set(values)) == len(values):
        return []
    seen: set = set()
    # set.add returns None, so the first of several equal values isn't a repetition.
    return [i for i, value in enumerate(values) if value in seen or seen.add(value)]


def _check_types(file: AnnotationFile, name: str, is_faster: bool) -> list[Finding]:
    """Check for ids that can't be looked up or that make the first evaluation fail."""
    ids = {index: entry.get("id") for index, entry in enumerate(getattr(file, name))}
    strings = [index for index, id in ids.items() if isinstance(id, str)]
    what, remedy = f"{name}: the id {{!r}}", _RENUMBER.format(name)
    wrong: Iterable[int] = [i for i, id in ids.items() if isinstance(id, (dict, list))]
    if wrong:
        what += " isn't a number"
        remedy = f"MMDetection can't look up such ids; {remedy}"
    elif not file.dataset.evaluators:
        return []
    elif name == "annotations":
        known = ((index, id) for index, id in ids.items() if id is not None)
        fits = _is_integer if is_faster else _is_number
        wrong = [index for index, id in known if not fits(id)]
        what += " isn't an integer below 2^63"
        remedy = (
            f"COCO's evaluation fails on other ids, or counts their objects as missed; {remedy}"
        )
    elif is_faster:
        wrong, what = strings, f"{what} is a string"
        remedy = f"{_FASTER}; {remedy}, {_SLOWER}"
    elif len(strings) < len(ids):
        wrong, what = strings, f"{what} is a string, but others are numbers"
        remedy = f"COCO's evaluation sorts ids and can't compare strings with numbers; {remedy}"
    return file.findings(ERROR, "id-kind", wrong, lambda index: what.format(ids[index]), remedy)


def _is_integer(id: Any) -> bool:
    return isinstance(id, int) and -(1 << 63) <= id < 1 << 63


def _is_ignored(id: Any, is_faster: bool) -> bool:
    number = _number(id)
    return number is not None and (number == 0 or (is_faster and number < 0))


def _is_number(id: Any) -> bool:
    return _number(id) is not None


def _number(id: Any) -> Optional[float]:
    """Convert an id to a number as NumPy does on assignment; return None if this fails."""
    try:
        return float(id)
    except (TypeError, ValueError, OverflowError):
        return None
