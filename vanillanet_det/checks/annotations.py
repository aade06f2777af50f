"""Entries and boxes of an annotation file, many at once."""

import numpy as np

from ..datasets.formats.files import is_finite
from .content import Content
from .datasets import Dataset
from .finding import ERROR, WARNING, Finding
from .found import Found
from .ids import check_ids

# COCO's own files have a few boxes without area, which do no harm. A mistake is in many.
_STRAY = 0.01
# Boxes of hidden parts reach out of the picture, too; but corners taken for sizes nearly all do.
_MOST_OVERHANG = 0.5
_OVERHANG_PX = 1.0  # what rounding explains
_FORMAT = "COCO's bbox is [x, y, width, height] in pixels, not corners and not shares"
_CONVERT = "write plain numbers, as tools/finetune.py does when it converts a data set"


def check_annotations(dataset: Dataset, content: Content) -> list[Finding]:
    """Check entries, ids and boxes of an annotation file.

    Args:
        dataset: Whose file it is.
        content: What is in it.

    Returns:
        A finding for each kind of mistake.
    """
    found = Found(dataset, content)
    _check_entries(found)
    check_ids(found)
    _check_crowds(found)
    _check_boxes(found)
    return found.findings


def _check_entries(found: Found) -> None:
    for name, wanted in (
        ("images", ("id", "width", "height", "file_name")),
        ("annotations", ("id", "image_id", "category_id", "bbox", "area")),
        ("categories", ("id", "name")),
    ):
        entries = getattr(found.content, name)
        for key in wanted:
            places = [
                place
                for place, entry in enumerate(entries)
                # LVIS gives the name as an address.
                if entry.get(key) is None and not (key == "file_name" and "coco_url" in entry)
            ]
            found.add(
                ERROR,
                "entry-incomplete",
                places,
                lambda place, name=name, key=key, entries=entries: (
                    f"{name}[{place}] (id {entries[place].get('id')}) has no {key}"
                ),
                f"MMDetection needs {key} in each of {name}; add it"
                + (" (width times height of the box will do)" if key == "area" else ""),
            )
    places = [p for p, image in enumerate(found.content.images) if not all(_size(image))]
    found.add(
        ERROR,
        "image-size",
        [place for place in places if _has_size(found.content.images[place])],
        lambda place: "image {id} has width {width!r} and height {height!r}".format(
            **found.content.images[place]
        ),
        f"expected numbers of pixels; {_CONVERT}",
    )


def _has_size(image: dict) -> bool:
    return image.get("width") is not None and image.get("height") is not None


def _size(image: dict) -> tuple[float, float]:
    """Width and height in pixels, 0 for what is no number above 0."""
    sides = (image.get("width"), image.get("height"))
    return tuple(s if is_finite(s) and s > 0 else 0 for s in sides)


def _check_crowds(found: Found) -> None:
    annotations = found.content.annotations
    crowd = sum(bool(annotation.get("iscrowd")) for annotation in annotations)
    if crowd and crowd == len(annotations):
        message = (
            f"{found.dataset.where}: all {crowd:,} annotations are crowds (iscrowd=1), and nothing "
            "is left to learn; set iscrowd=0 in those of single objects"
        )
        found.findings.append(Finding(ERROR, "crowd-only", message, crowd))


def _check_boxes(found: Found) -> None:
    content = found.content
    if not content.annotations:
        return
    boxes, bad = _numbers([annotation.get("bbox") for annotation in content.annotations], 4)
    present = np.array([a.get("bbox") is not None for a in content.annotations])
    found.add(
        ERROR,
        "box-not-numbers",
        np.flatnonzero(bad & present),
        lambda p: f"{found.name(p)}: bbox {content.annotations[p]['bbox']!r} isn't four numbers",
        _CONVERT,
    )
    areas, bad_area = _numbers([[annotation.get("area")] for annotation in content.annotations], 1)
    present = np.array([a.get("area") is not None for a in content.annotations])
    found.add(
        ERROR,
        "area-not-number",
        np.flatnonzero(bad_area & present),
        lambda p: f"{found.name(p)}: area {content.annotations[p]['area']!r} isn't a number",
        _CONVERT,
    )
    x, y, w, h = boxes.T
    good = ~bad
    sizes = np.array([_size(image) for image in content.images], dtype=float)
    known = content.image_places >= 0
    width, height = np.where(known, sizes[content.image_places].T, 0.0)
    known &= (width > 0) & (height > 0)

    def take(level: str, code: str, wrong: np.ndarray, what: str, remedy: str) -> None:
        """Report boxes, which no later check looks at again."""
        nonlocal good
        places = np.flatnonzero(good & wrong)
        found.add(level, code, places, lambda p: _describe(found, p, what), remedy)
        good &= ~wrong

    def unless_stray(wrong: np.ndarray) -> str:
        return ERROR if (good & wrong).sum() > _STRAY * len(good) else WARNING

    picture = "the picture of {width}x{height}"
    dropped = "MMDetection drops it without a word; take it out, or mend it"
    take(ERROR, "box-inverted", (w < 0) | (h < 0), "its width or height is below 0", _FORMAT)
    empty = (w == 0) | (h == 0)
    take(unless_stray(empty), "box-empty", empty, "its width or height is 0", dropped)
    outside = known & ((x >= width) | (y >= height) | (x + w <= 0) | (y + h <= 0))
    take(ERROR, "box-outside", outside, f"it lies outside {picture}", f"{dropped}. {_FORMAT}")
    take(WARNING, "box-tiny", (w < 1) | (h < 1), "it is thinner than a pixel", dropped)
    flat = ~bad_area & (areas[:, 0] <= 0)
    take(unless_stray(flat), "area-empty", flat, "its area isn't above 0", dropped)
    sound = good.copy()
    over = _OVERHANG_PX
    overhang = known & (
        (x < -over) | (y < -over) | (x + w > width + over) | (y + h > height + over)
    )
    level = ERROR if (good & overhang).sum() > _MOST_OVERHANG * len(good) else WARNING
    take(level, "box-overhang", overhang, f"it reaches out of {picture}", _FORMAT)
    labels = np.stack([content.image_places, content.category_places])
    found.add(
        WARNING,
        "box-duplicate",
        _equal_rows(np.vstack([labels, boxes.T]).T, sound),
        lambda p: _describe(found, p, "the image has the same box of the same class"),
        "one object counts twice; take the copy out",
    )


def _describe(found: Found, place: int, what: str) -> str:
    content = found.content
    what = what.format(**content.images[content.image_places[place]])
    return f"{found.name(place)}: box {content.annotations[place]['bbox']}: {what}"


def _numbers(rows: list, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Make rows of a JSON file an array.

    Returns:
        Values, shape (n, length), NaN in rows that aren't `length` finite numbers; and which
        those are, shape (n,).
    """
    try:
        raw = np.array(rows)
    except ValueError:  # of different lengths
        raw = np.array(None)
    # NumPy would make numbers of texts such as '12.5', which MMDetection can't.
    if raw.shape == (len(rows), length) and raw.dtype.kind in "iuf":
        values = raw.astype(float)
    else:
        values = np.full((len(rows), length), np.nan)
        for place, row in enumerate(rows):
            if isinstance(row, list) and [*map(is_finite, row)] == [True] * length:
                values[place] = row
    bad = ~np.isfinite(values).all(axis=1)
    values[bad] = np.nan
    return values, bad


def _equal_rows(rows: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Places of rows that were there before, of those marked in `among`."""
    places = np.flatnonzero(among)
    rows = np.ascontiguousarray(rows[places]) + 0.0  # of -0.0 and 0.0 the bytes differ
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    _, first = np.unique(keys, return_index=True)
    repeated = np.ones(len(places), dtype=bool)
    repeated[first] = False
    return places[repeated]
