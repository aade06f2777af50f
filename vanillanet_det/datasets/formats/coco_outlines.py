"""COCO format: reads segmentations, which are polygons or run-length encoded (RLE) masks."""

from collections.abc import Mapping, Sequence
from typing import Any

from .files import is_finite, number
from .raw_dataset import area, bounds
from .remarks import Remarks
from .shapes import rectangle

_PARTS = "Polygons with fewer than three points, skipped"


def read_numbers(values: Any, what: str) -> list[float]:
    """Return a list of finite numbers, some of which may be written as strings."""
    if not isinstance(values, list):
        raise ValueError(f"its {what} is {values!r}, expected a list of numbers")
    if all(map(is_finite, values)):
        return values
    try:
        return [number(value) for value in values]
    except ValueError as error:
        raise ValueError(f"its {what}: {error}") from None


def read_outline(outline: Any, place: str, remarks: Remarks) -> Any:
    """Read polygons or an RLE mask; return None if there is no segmentation."""
    if isinstance(outline, dict):
        return _read_rle(outline)
    if not outline:
        return None
    if not isinstance(outline, list):
        raise ValueError(f"its segmentation is a {type(outline).__name__}, expected polygons")
    if not isinstance(outline[0], list):  # a single polygon, not nested in a list
        outline = [outline]
    parts = [read_numbers(part, "segmentation") for part in outline]
    if any(len(part) % 2 for part in parts):
        raise ValueError(
            "its segmentation has an odd number of coordinates; expected x1, y1, x2, y2, ..."
        )
    kept = [part for part in parts if len(part) >= 6]
    remarks.add(_PARTS, place, len(parts) - len(kept))
    return kept


def _read_rle(outline: Mapping[str, Any]) -> dict:
    counts = outline.get("counts")
    if not isinstance(counts, (list, str)) or "size" not in outline:
        raise ValueError("its segmentation lacks counts or size; expected COCO's RLE")
    size = [int(side) for side in read_numbers(outline["size"], "size")]
    # pycocotools crashes on other sizes and counts.
    if len(size) != 2 or not all(0 < side < 1 << 16 for side in size):
        raise ValueError(f"its segmentation has the size {size}, expected [height, width]")
    if isinstance(counts, list):
        counts = [int(count) for count in read_numbers(counts, "segmentation's counts")]
    if min(counts, default=0) < 0 if isinstance(counts, list) else not counts.isascii():
        raise ValueError("its segmentation's counts aren't COCO's RLE; export it again")
    if isinstance(counts, list) and sum(counts) != size[0] * size[1]:
        raise ValueError(
            f"its segmentation's counts add up to {sum(counts)}, expected {size[0]} x {size[1]}"
        )
    return {**outline, "size": size, "counts": counts}


def turn_outline(outline: Any, box: Sequence[float], degrees: float) -> Any:
    """Rotate an outline that is the unrotated box itself; other outlines follow the object."""
    corners = isinstance(outline, list) and len(outline) == 1 and len(outline[0]) == 8
    if corners and all(abs(a - b) < 1 for a, b in zip(bounds(outline), box)):
        return [rectangle(box, degrees)]
    return outline


def encoded(outline: Mapping[str, Any]) -> dict:
    """Return COCO's RLE in the form that pycocotools reads, whose counts are a text."""
    from pycocotools import mask

    if isinstance(outline["counts"], list):
        return mask.frPyObjects(dict(outline), *outline["size"])
    return dict(outline)


def outline_box(outline: Any) -> list[float]:
    """Compute the box `[x, y, width, height]` around an outline."""
    if isinstance(outline, list):
        return bounds(outline)
    from pycocotools import mask

    return mask.toBbox(encoded(outline)).tolist()


def outline_area(outline: Any) -> float:
    """Compute the area of an outline; 0 if there is none."""
    if not outline or isinstance(outline, list):
        return sum(map(area, outline or ()))
    from pycocotools import mask

    return float(mask.area(encoded(outline)))
