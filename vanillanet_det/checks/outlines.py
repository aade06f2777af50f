"""Checks that segmentations agree with the boxes and the sizes of the images."""

from collections.abc import Iterator, Sequence
from typing import Any, Optional

import numpy as np

from ..datasets.formats.coco_outlines import outline_box, read_outline
from ..datasets.formats.files import is_finite
from ..datasets.formats.remarks import Remarks
from .annotation_file import AnnotationFile, image_size
from .annotations import MAX_STRAY
from .finding import ERROR, WARNING, Finding

# The visible part of an object may be much smaller than its box, but isn't outside.
_MIN_INSIDE = 0.5
_MIN_IOU = 0.5
_REMEDY = "one of them is of an image of another size; export both again"


def check_outlines(
    file: AnnotationFile, are_loaded: bool, are_evaluated: bool
) -> Iterator[Finding]:
    """Check that segmentations are valid, and agree with the boxes and sizes of the images.

    Args:
        file: The annotation file.
        are_loaded: Whether segmentations are loaded, so that mistakes are errors.
        are_evaluated: Whether segmentations are evaluated, so that mistakes are errors.

    Yields:
        A finding for each kind of mistake.
    """
    level = ERROR if are_loaded or are_evaluated else WARNING

    def unless_stray(wrong: Sequence[int]) -> str:
        return WARNING if len(wrong) <= MAX_STRAY * len(file.annotations) else level

    reasons: dict[int, str] = {}
    resized, outlines = [], np.full((len(file.annotations), 4), np.nan)
    for index, annotation in enumerate(file.annotations):
        segmentation = annotation.get("segmentation")
        if not segmentation:
            continue
        if isinstance(segmentation, dict) and _is_resized(file, index, segmentation):
            resized.append(index)
            continue
        try:
            outlines[index] = _bounds(segmentation)
            if are_evaluated and isinstance(segmentation, list) and len(segmentation[0]) <= 4:
                raise ValueError("its segmentation's first polygon has fewer than three points")
        except (ValueError, TypeError, OverflowError) as error:
            reasons[index] = str(error)
    dropped = [i for i in reasons if _is_dropped(file.annotations[i], are_evaluated)]
    invalid = [i for i in reasons if i not in set(dropped)]
    for severity, indices, remedy in (
        (level, invalid, "training or evaluation fails on such outlines; correct them"),
        (
            unless_stray(dropped),
            dropped,
            "MMDetection silently drops such polygons, and objects that have no others; correct "
            "them",
        ),
    ):
        yield from file.findings(
            severity,
            "outline-invalid",
            indices,
            lambda i: f"{file.name(i)}: {reasons[i]}",
            remedy,
        )
    yield from file.findings(
        level,
        "mask-size",
        resized,
        lambda i: _describe_size(file, i),
        f"the mask doesn't fit the image; {_REMEDY}",
    )
    wrong = _disagree(file, outlines)
    yield from file.findings(
        unless_stray(wrong),
        "outline-box",
        wrong,
        lambda i: (
            f"{file.name(i)}: its segmentation spans {_spans(outlines[i])}, but its box is "
            f"{file.annotations[i]['bbox']}"
        ),
        f"an outline lies inside its box; {_REMEDY}",
    )


def _is_dropped(annotation: dict, are_evaluated: bool) -> bool:
    """Return whether MMDetection drops the invalid polygons of an outline, rather than failing."""
    parts = annotation["segmentation"]
    if not isinstance(parts, list) or not all(
        isinstance(part, list) and all(map(is_finite, part)) for part in parts
    ):
        return False
    # If the first part has four numbers, the evaluation takes all for boxes; it fails on fewer.
    return not (are_evaluated and len(parts[0]) <= 4)


def _bounds(segmentation: Any) -> list[float]:
    # Plain polygons of numbers, which nearly all outlines are, take the short way.
    if isinstance(segmentation, list) and all(
        type(part) is list and len(part) >= 6 and not len(part) % 2 and all(map(is_finite, part))
        for part in segmentation
    ):
        return outline_box(segmentation)
    outline = read_outline(segmentation, "", Remarks())
    if not outline:
        raise ValueError("its segmentation has no polygon of at least three points")
    if isinstance(segmentation, list) and not isinstance(segmentation[0], list):
        raise ValueError("its segmentation is a list of numbers, expected a list of polygons")
    return outline_box(outline)


def _is_resized(file: AnnotationFile, index: int, segmentation: dict) -> bool:
    return _image_size(file, index) not in (None, _mask_size(segmentation))


def _mask_size(segmentation: dict) -> Optional[list]:
    size = segmentation.get("size")
    return size if isinstance(size, list) and [*map(is_finite, size)] == [True, True] else None


def _image_size(file: AnnotationFile, index: int) -> Optional[list]:
    if file.image_indices[index] < 0:
        return None
    width, height = image_size(file.images[file.image_indices[index]])
    return [height, width] if width and height else None  # reported by check_annotations


def _describe_size(file: AnnotationFile, index: int) -> str:
    mask, image = file.annotations[index]["segmentation"].get("size"), _image_size(file, index)
    swapped = ", with width and height swapped" if image == list(mask or ())[::-1] else ""
    return f"{file.name(index)}: its mask has the size {mask}, but the image {image}{swapped}"


def _spans(bounds: np.ndarray) -> str:
    x, y, width, height = bounds
    return f"[{x:g}, {y:g}, {width:g}, {height:g}]"


def _disagree(file: AnnotationFile, outlines: np.ndarray) -> np.ndarray:
    """Return the indices of annotations whose outline and box are of different places."""
    boxes = np.where(np.isfinite(outlines), file.boxes[0], np.nan)
    # Half a pixel is added on all sides, since coordinates are rounded.
    low = np.maximum(outlines[:, :2], boxes[:, :2]) - 0.5
    high = np.minimum(outlines[:, :2] + outlines[:, 2:], boxes[:, :2] + boxes[:, 2:]) + 0.5
    shared = np.clip(high - low, 0, None).prod(axis=1)
    area, box_area = (outlines[:, 2:] + 1).prod(axis=1), (boxes[:, 2:] + 1).prod(axis=1)
    wrong = shared < _MIN_INSIDE * area
    apart = shared < _MIN_IOU * (area + box_area - shared)
    compared = np.isfinite(boxes[:, 0])
    # Where most outlines are much smaller than their boxes, they aren't visible parts.
    if apart.sum() > 0.5 * compared.sum():
        wrong |= apart
    return np.flatnonzero(wrong)
