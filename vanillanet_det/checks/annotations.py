"""Checks the entries and boxes of an annotation file, using NumPy for speed."""

from collections.abc import Iterator

import numpy as np

from ..datasets.formats.files import is_finite
from ..datasets.formats.raw_dataset import CROWD_REMEDY
from ..installation import command
from .annotation_file import AnnotationFile, image_size
from .finding import ERROR, WARNING, Finding
from .ids import check_ids

# COCO's own files have a few harmless boxes without area. A systematic mistake affects many.
MAX_STRAY = 0.01
# Boxes of occluded objects may also extend beyond the image, but almost all boxes do if corners
# were exported instead of sizes.
_MAX_OVERHANG = 0.5
_OVERHANG_PX = 1.0  # which rounding can explain
_FORMAT = "COCO's bbox is [x, y, width, height] in pixels, not corners or fractions"
_CONVERT = f"write plain numbers, as {command('finetune')} does when it converts a dataset"


def check_annotations(file: AnnotationFile) -> list[Finding]:
    """Check the entries, ids and boxes of an annotation file.

    Args:
        file: The annotation file.

    Returns:
        A finding for each kind of mistake.
    """
    checks = (_check_entries, check_ids, _check_crowds, _check_boxes, _check_rotations)
    return [finding for check in checks for finding in check(file)]


def _check_entries(file: AnnotationFile) -> Iterator[Finding]:
    for name, required in (
        ("images", ("id", "width", "height", "file_name")),
        ("annotations", ("id", "image_id", "category_id", "bbox", "area")),
        ("categories", ("id", "name")),
    ):
        entries = getattr(file, name)
        for key in required:
            incomplete = [
                index
                for index, entry in enumerate(entries)
                # LVIS has coco_url instead of file_name.
                if entry.get(key) is None and not (key == "file_name" and "coco_url" in entry)
            ]
            yield from file.findings(
                ERROR,
                "entry-incomplete",
                incomplete,
                lambda index, name=name, key=key, entries=entries: (
                    f"{name}[{index}] (id {entries[index].get('id')}) has no {key}"
                ),
                f"MMDetection requires {key} for all {name}; add it"
                + (" (the box's width times its height is sufficient)" if key == "area" else ""),
            )
    yield from file.findings(
        ERROR,
        "image-size",
        [
            i
            for i, image in enumerate(file.images)
            if _has_size(image) and not all(image_size(image))
        ],
        lambda index: "image {id} has width {width!r} and height {height!r}".format(
            **file.images[index]
        ),
        f"expected positive numbers of pixels; {_CONVERT}",
    )


def _has_size(image: dict) -> bool:
    return image.get("width") is not None and image.get("height") is not None


def _check_crowds(file: AnnotationFile) -> Iterator[Finding]:
    crowds = sum(bool(annotation.get("iscrowd")) for annotation in file.annotations)
    if crowds and crowds == len(file.annotations):
        message = (
            f"{file.dataset.where}: all {crowds:,} annotations are crowds (iscrowd=1), so there "
            f"is nothing to learn; {CROWD_REMEDY}"
        )
        yield Finding(ERROR, "crowd-only", message, crowds)


def _check_boxes(file: AnnotationFile) -> list[Finding]:
    if not file.annotations:
        return []
    boxes, bad = file.boxes
    present = np.array([a.get("bbox") is not None for a in file.annotations])
    findings = file.findings(
        ERROR,
        "box-not-numbers",
        np.flatnonzero(bad & present),
        lambda i: f"{file.name(i)}: bbox {file.annotations[i]['bbox']!r} isn't four numbers",
        _CONVERT,
    )
    areas, bad_area = file.areas
    present = np.array([a.get("area") is not None for a in file.annotations])
    findings += file.findings(
        ERROR,
        "area-not-number",
        np.flatnonzero(bad_area & present),
        lambda i: f"{file.name(i)}: area {file.annotations[i]['area']!r} isn't a number",
        _CONVERT,
    )
    x, y, w, h = boxes.T
    good = ~bad
    width, height = file.sides
    known = (width > 0) & (height > 0)

    def take(level: str, code: str, wrong: np.ndarray, what: str, remedy: str) -> None:
        """Report boxes and exclude them from later checks."""
        nonlocal good, findings
        indices = np.flatnonzero(good & wrong)
        findings += file.findings(level, code, indices, lambda i: _describe(file, i, what), remedy)
        good &= ~wrong

    def unless_stray(wrong: np.ndarray) -> str:
        return ERROR if (good & wrong).sum() > MAX_STRAY * len(good) else WARNING

    image = "the image of {width}x{height}"
    dropped = "MMDetection silently drops such boxes; correct or remove them"
    take(ERROR, "box-inverted", (w < 0) | (h < 0), "its width or height is negative", _FORMAT)
    empty = (w == 0) | (h == 0)
    take(unless_stray(empty), "box-empty", empty, "its width or height is 0", dropped)
    outside = known & ((x >= width) | (y >= height) | (x + w <= 0) | (y + h <= 0))
    take(ERROR, "box-outside", outside, f"it lies outside {image}", f"{dropped}. {_FORMAT}")
    take(WARNING, "box-tiny", (w < 1) | (h < 1), "it is thinner than a pixel", dropped)
    thin = (w <= 1) | (h <= 1)
    stray_click = "most are stray clicks, which no detector finds; correct or remove them"
    take(WARNING, "box-thin", thin, "it is a single pixel wide or high", stray_click)
    flat = ~bad_area & (areas <= 0)
    take(unless_stray(flat), "area-empty", flat, "its area isn't positive", dropped)
    sound = good.copy()
    over = _OVERHANG_PX
    overhang = known & (
        (x < -over) | (y < -over) | (x + w > width + over) | (y + h > height + over)
    )
    level = ERROR if (good & overhang).sum() > _MAX_OVERHANG * len(good) else WARNING
    take(level, "box-overhang", overhang, f"it extends beyond {image}", _FORMAT)
    labels = np.stack([file.image_indices, file.category_indices])
    return findings + file.findings(
        WARNING,
        "box-duplicate",
        _equal_rows(np.vstack([labels, boxes.T]).T, sound),
        lambda i: _describe(file, i, "the image has the same box of the same class"),
        "the object counts twice; remove the duplicate",
    )


def _check_rotations(file: AnnotationFile) -> list[Finding]:
    rotated = [index for index, each in enumerate(file.annotations) if _rotation(each)]
    return file.findings(
        ERROR if len(rotated) > MAX_STRAY * len(file.annotations) else WARNING,
        "box-rotated",
        rotated,
        lambda index: (
            f"{file.name(index)}: attributes.rotation is {_rotation(file.annotations[index])}, but "
            "bbox is the box before rotation"
        ),
        f"set bbox to the box that encloses the rotated one, as {command('finetune')} does when it "
        "converts a dataset, and remove the attribute",
    )


def _rotation(annotation: dict) -> float:
    """Return the angle in degrees by which CVAT shows a box rotated."""
    attributes = annotation.get("attributes")
    angle = attributes.get("rotation") if isinstance(attributes, dict) else 0
    return angle if is_finite(angle) and angle % 360 else 0


def _describe(file: AnnotationFile, index: int, what: str) -> str:
    what = what.format(**file.images[file.image_indices[index]])
    return f"{file.name(index)}: box {file.annotations[index]['bbox']}: {what}"


def _equal_rows(rows: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Return the indices of rows that repeat an earlier row, considering rows in `among` only."""
    indices = np.flatnonzero(among)
    rows = np.ascontiguousarray(rows[indices]) + 0.0  # -0.0 and 0.0 differ in their bytes
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    _, first = np.unique(keys, return_index=True)
    repeated = np.ones(len(indices), dtype=bool)
    repeated[first] = False
    return indices[repeated]
