"""Label Studio's shapes, whose coordinates are percentages of the image's width and height."""

from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np

from .files import number
from .listed import Size
from .raw_dataset import ROTATED, Object, bounds
from .remarks import Remarks
from .shapes import ellipse, encode_mask, mask_box, rectangle

_NO_AREA = "Shapes without an area (key points, lines), skipped"
_NO_LABEL = "Shapes without a label, skipped"
_MORE_LABELS = "Shapes with several labels, of which the first is used"
_EMPTY = "Brush masks without a pixel, skipped"
_OTHER = "Shapes of other kinds (not boxes, polygons, ellipses or brush masks), skipped"
_RATIO = 0.02  # by which the image's aspect ratio may differ from the annotated one's
_MOST_BYTES = 1 << 30  # of a brush mask, which has four for each pixel


def merge_shapes(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Merge results with the same id, which are a shape, its label and its attributes."""
    merged: dict[Any, dict[str, Any]] = {}
    for index, result in enumerate(results):
        value = result.get("value")
        value = value if isinstance(value, dict) else {}
        sides = {key: result[key] for key in ("original_width", "original_height") if key in result}
        turned = {key: result[key] for key in ("image_rotation",) if key in result}
        key = str(result["id"]) if result.get("id") is not None else index
        merged.setdefault(key, {}).update({**value, **sides, **turned})
    return list(merged.values())


def is_shape(shape: Mapping[str, Any]) -> bool:
    """Return whether a result is a shape, and not a choice, a text or a relation."""
    has_place = any(key in shape for key in ("x", "points", "rle", "vertices", "imageDataURL"))
    return has_place or any(key.endswith("labels") for key in shape)


def read_shape(
    shape: Mapping[str, Any], size: Size, place: str, remarks: Remarks
) -> Optional[Object]:
    """Convert a merged shape to an object; None if it is skipped.

    Args:
        shape: The shape.
        size: Width and height of the image.
        place: Name of the image, for remarks.
        remarks: What was skipped or changed; updated in place.

    Raises:
        ValueError: The shape is invalid, or doesn't fit the image.
    """
    label = _label(shape, place, remarks)
    if label is None:
        return None
    _check_size(shape, size)
    if "rle" in shape:
        return _brush(shape, label, size, place, remarks)
    if "radiusX" in shape:
        radii = _pixels((shape["radiusX"], shape.get("radiusY")), size)
        outline = ellipse(_corner(shape, size), radii, _degrees(shape))
    elif "points" in shape:
        outline = _polygon(shape["points"], size)
    elif "height" in shape:
        return _rectangle(shape, label, size, place, remarks)
    else:
        remarks.skip(_NO_AREA if "x" in shape else _OTHER, place, objects=1)
        return None
    if len(outline) < 6:
        remarks.skip(_NO_AREA, place, objects=1)
        return None
    return Object(label, bounds([outline]), [outline])


def _label(shape: Mapping[str, Any], place: str, remarks: Remarks) -> Optional[str]:
    labels = [value for key, value in shape.items() if key.endswith("labels")]
    if not all(isinstance(some, list) for some in labels):
        raise ValueError(f"its labels are {labels[0]!r}, expected a list of names")
    names = [name for some in labels for name in some]
    if not names:
        remarks.skip(_NO_LABEL, place, objects=1)
        return None
    remarks.add(_MORE_LABELS, place, len(names) > 1)
    if not isinstance(names[0], str) or not names[0].strip():
        raise ValueError(f"its label is {names[0]!r}, expected the name of a class")
    return names[0].strip()


def _check_size(shape: Mapping[str, Any], size: Size) -> None:
    width, height = _annotated_size(shape, size)
    if abs(width * size[1] / (height * size[0]) - 1) > _RATIO:
        raise ValueError(
            f"was drawn on an image of {width} x {height} pixels, but the image is "
            f"{size[0]} x {size[1]}; use the image that was annotated"
        )
    if number(shape.get("image_rotation") or 0) % 360:
        raise ValueError(
            f"was drawn on an image rotated by {shape['image_rotation']} degrees in Label Studio; "
            "export as YOLO or COCO instead"
        )


def _annotated_size(shape: Mapping[str, Any], size: Size) -> Size:
    sides = [number(shape.get(f"original_{side}") or 0) for side in ("width", "height")]
    return (int(sides[0]), int(sides[1])) if min(sides) >= 1 else size


def _pixels(values: Sequence[Any], size: Size) -> list[float]:
    return [number(value) * side / 100 for value, side in zip(values, size)]


def _corner(shape: Mapping[str, Any], size: Size) -> list[float]:
    return _pixels((shape.get("x"), shape.get("y")), size)


def _degrees(shape: Mapping[str, Any]) -> float:
    return number(shape.get("rotation") or 0)


def _rectangle(
    shape: Mapping[str, Any], label: str, size: Size, place: str, remarks: Remarks
) -> Object:
    corner = _corner(shape, size)
    box = [*corner, *_pixels((shape.get("width"), shape["height"]), size)]
    if _degrees(shape) % 360:  # clockwise around the upper left corner
        remarks.add(ROTATED, place)
        box = bounds([rectangle(box, _degrees(shape), corner)])
    return Object(label, box)


def _polygon(points: Any, size: Size) -> list[float]:
    try:
        pairs = [(x, y) for x, y in points]
    except (TypeError, ValueError):
        raise ValueError("its points aren't a list of pairs of numbers") from None
    return [value for pair in pairs for value in _pixels(pair, size)]


def _brush(
    shape: Mapping[str, Any], label: str, size: Size, place: str, remarks: Remarks
) -> Optional[Object]:
    width, height = _annotated_size(shape, size)
    if (width, height) != tuple(size):
        raise ValueError(
            f"its brush mask is {width} x {height} pixels, but the image is {size[0]} x "
            f"{size[1]}; use the image that was annotated"
        )
    alpha = _decode(shape["rle"], 4 * width * height).reshape(height, width, 4)[..., 3]
    encoded = encode_mask(alpha > 0, 0, 0, size)
    box = mask_box(encoded)
    if not box[2]:
        remarks.skip(_EMPTY, place, objects=1)
        return None
    return Object(label, box, mask=encoded)


def _decode(code: Any, length: int) -> np.ndarray:
    """Decode the run-length encoding of thi.ng/umbrella's `rle-pack`, which Label Studio uses.

    Returns:
        Array of `length` bytes.
    """
    if not isinstance(code, list) or not all(type(byte) is int for byte in code):
        raise ValueError("its rle isn't a list of bytes")
    bits = (np.unpackbits(np.frombuffer(bytes(code), np.uint8)) + ord("0")).tobytes().decode()
    position = 0

    def take(count: int) -> int:
        nonlocal position
        position += count
        if position > len(bits):
            raise ValueError("its rle ends too early")
        return int(bits[position - count : position], 2)

    if take(32) != length or length > _MOST_BYTES:
        raise ValueError(f"its rle doesn't match its image of {length // 4:,} pixels")
    bits_of_word = take(5) + 1
    bits_of_run = [take(4) + 1 for _ in range(4)]
    values = np.zeros(length, np.uint32)
    start = 0
    while start < length:
        is_run = take(1)
        end = start + 1 + take(bits_of_run[take(2)])
        if is_run:
            values[start:end] = take(bits_of_word)
        else:
            values[start:end] = [take(bits_of_word) for _ in range(min(end, length) - start)]
        start = end
    return values
