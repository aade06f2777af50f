"""Ids of an annotation file: what MMDetection and COCO's evaluation can use."""

from collections.abc import Iterable
from typing import Any, Optional

import numpy as np

from .content import hashable
from .finding import ERROR, WARNING
from .found import Found

_ANEW = "number the {} from 1, as tools/finetune.py does when it converts a data set"
_FASTER = "faster-coco-eval, which computes AP here, fails at such ids"
_SLOWER = "or set backend='pycocotools' of FasterCocoMetric"


def check_ids(found: Found) -> None:
    """Check that ids are what MMDetection can use, and that annotations refer to some.

    Args:
        found: Takes the findings.
    """
    content = found.content
    is_faster = any(judge.is_faster for judge in found.dataset.judges)
    for name, what in (("images", "is lost"), ("annotations", "makes MMDetection fail")):
        entries = getattr(content, name)
        found.add(
            ERROR,
            "id-duplicate",
            _repeated(hashable(entry.get("id")) for entry in entries if "id" in entry),
            lambda place, name=name, entries=entries: (
                f"{name}: id {[e for e in entries if 'id' in e][place]['id']} is there twice"
            ),
            f"of equal ids one {what}; number the {name} anew",
        )
    found.add(
        ERROR,
        "image-unknown",
        np.flatnonzero(content.image_places < 0),
        lambda place: f"{found.name(place)}: the file lists no image of this id",
        "such annotations are dropped without a word; list the image, or take them out",
    )
    found.add(
        ERROR,
        "category-unknown",
        np.flatnonzero(content.category_places < 0),
        lambda place: (
            f"{found.name(place)}: category_id {content.annotations[place].get('category_id')!r} "
            "is of no category of the file"
        ),
        "such annotations are dropped without a word; list the category, or mend the id",
    )
    for name in ("images", "annotations", "categories"):
        _check_kinds(found, name, is_faster)
    if not found.dataset.key.startswith("train"):
        found.add(
            WARNING,
            "id-zero",
            [p for p, a in enumerate(content.annotations) if _is_lost(a.get("id"), is_faster)],
            lambda place: f"{found.name(place)}: its id is {content.annotations[place]['id']!r}",
            "COCO's evaluation takes 0 for no match, and faster-coco-eval what is below 0, too, so "
            "that AP is too low; start at 1",
        )


def _repeated(values: Iterable[Any]) -> list[int]:
    values = list(values)
    if len(set(values)) == len(values):
        return []
    seen: set = set()
    # set.add gives None: the first of equal ones isn't a repetition.
    return [p for p, value in enumerate(values) if value in seen or seen.add(value)]


def _check_kinds(found: Found, name: str, is_faster: bool) -> None:
    """Check for ids that can't be looked up, or that fail at the first evaluation."""
    ids = {place: entry.get("id") for place, entry in enumerate(getattr(found.content, name))}
    texts = [place for place, id in ids.items() if isinstance(id, str)]
    what, remedy = f"{name}: the id {{!r}}", _ANEW.format(name)
    wrong: Iterable[int] = [p for p, id in ids.items() if isinstance(id, (dict, list))]
    if wrong:
        what += " is no number"
        remedy = f"MMDetection can't look such ids up; {remedy}"
    elif not found.dataset.judges:
        return
    elif name == "annotations":
        known = ((place, id) for place, id in ids.items() if id is not None)
        fits = _is_whole if is_faster else _is_number
        wrong = [place for place, id in known if not fits(id)]
        what += " is no whole number below 2^63"
        remedy = (
            "COCO's evaluation fails at other ids, or counts their objects as missed; " + remedy
        )
    elif is_faster:
        wrong, what = texts, f"{what} is a text"
        remedy = f"{_FASTER}; {remedy}, {_SLOWER}"
    elif len(texts) < len(ids):
        wrong, what = texts, f"{what} is a text, and others are numbers"
        remedy = f"COCO's evaluation sorts ids and can't compare both; {remedy}"
    found.add(ERROR, "id-kind", wrong, lambda place: what.format(ids[place]), remedy)


def _is_whole(id: Any) -> bool:
    return isinstance(id, int) and -(1 << 63) <= id < 1 << 63


def _is_lost(id: Any, is_faster: bool) -> bool:
    number = _number(id)
    return number is not None and (number == 0 or (is_faster and number < 0))


def _is_number(id: Any) -> bool:
    return _number(id) is not None


def _number(id: Any) -> Optional[float]:
    """Read an id as NumPy does when it is put into an array of numbers."""
    try:
        return float(id)
    except (TypeError, ValueError, OverflowError):
        return None
