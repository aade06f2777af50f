"""Detection in large images by tiles, whose detections are merged across borders."""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Literal, Optional, Union

import numpy as np

from ..errors import UserError, prefix_errors
from .images import PreparedImage
from .results import Detections

Window = tuple[int, int, int, int]
OVERLAP = 0.2
LEAST_SIDE = 32
_SAME_OBJECT = 0.5  # IoU in the pixels that two tiles share
_EVERYTHING = np.float32([-np.inf, -np.inf, np.inf, np.inf])
_BORDER = 0.01  # share of a tile's side, within which a box touches the tile's border


@dataclass(frozen=True)
class Tiles:
    """How large images are cut.

    Attributes:
        size: Height and width of a tile in pixels of the image.
        overlap: Least share of a tile's side that it shares with the next tile.

    Raises:
        UserError: A value is out of range.
    """

    size: tuple[int, int]
    overlap: float = OVERLAP

    def __post_init__(self) -> None:
        """Raise an error if a value is out of range."""
        if min(self.size) < LEAST_SIDE or not 0 <= self.overlap < 1:
            height, width = self.size
            raise UserError(
                f"tiles of {height} x {width} with an overlap of {self.overlap:g}: expected at "
                f"least {LEAST_SIDE} x {LEAST_SIDE} pixels, and an overlap from 0 to below 1"
            )

    @classmethod
    def parse(cls, text: Optional[str]) -> Union["Tiles", Literal[False], None]:
        """Read the value of an option: `640`, `480x640` (height x width), or `none`.

        Returns:
            The tiles; False for `none`; None if there is no value.

        Raises:
            UserError: The value is something else.
        """
        if text is None or text == "none":
            return None if text is None else False
        sides = text.lower().split("x")
        if len(sides) > 2 or not all(side.isascii() and side.isdigit() for side in sides):
            raise UserError(f"--tiles {text}: expected pixels, such as 640, HEIGHTxWIDTH, or none")
        with prefix_errors(f"--tiles {text}"):
            return cls((int(sides[0]), int(sides[-1])))

    def windows(self, height: int, width: int) -> list[Window]:
        """Return the tiles of an image: left, top, right and bottom in pixels.

        All tiles have the same size, and are evenly spaced; an image that isn't larger than a tile
        is one.
        """
        rows, columns = (
            _cut(length, side, self.overlap) for length, side in zip((height, width), self.size)
        )
        return [(left, top, right, bottom) for top, bottom in rows for left, right in columns]


def _cut(length: int, side: int, overlap: float) -> list[tuple[int, int]]:
    """Cut a length into equal parts that overlap."""
    if length <= side:
        return [(0, length)]
    step = max(1, int(side * (1 - overlap)))
    count = -(-(length - side) // step) + 1
    starts = [round(i * (length - side) / (count - 1)) for i in range(count)]
    return [(start, start + side) for start in starts]


@dataclass
class _Whole:
    """An image of which some tiles are still to be detected."""

    source: Any
    pixels: Optional[np.ndarray] = None
    windows: list[Window] = field(default_factory=list)
    found: list[Detections] = field(default_factory=list)
    error: str = ""


def stream_tiles(
    stream: Callable[[Iterable], Iterator[tuple[PreparedImage, Optional[Detections]]]],
    load: Callable[[Any], np.ndarray],
    tiles: Tiles,
    images: Iterable,
) -> Iterator[tuple[PreparedImage, Optional[Detections]]]:
    """Detect objects in images by tiles.

    Args:
        stream: Detects objects in images, in order.
        load: Loads an image as uint8 `(height, width, 3)`.
        tiles: How images are cut.
        images: As for `BaseDetector.stream`.

    Yields:
        Each image and its detections, as `BaseDetector.stream` does.
    """
    waiting: deque[_Whole] = deque()

    def cut() -> Iterator[Any]:
        for source in images:
            try:
                pixels = load(source[1] if isinstance(source, tuple) else source)
            except UserError:
                waiting.append(_Whole(source))
                yield source  # which says why
                continue
            windows = tiles.windows(*pixels.shape[:2])
            waiting.append(_Whole(source, pixels, windows))
            for left, top, right, bottom in windows:
                yield source, pixels[top:bottom, left:right]

    with closing(stream(cut())) as stream_of_tiles:
        left = 0  # tiles of the first image that waits
        for prepared, found in stream_of_tiles:
            whole = waiting[0]
            left = left or max(1, len(whole.windows))
            if found is None:
                named = "" if whole.pixels is None else f"{_name(whole.source)}, a tile: "
                whole.error = whole.error or f"{named}{prepared.error}"
            else:
                whole.found.append(found)
            left -= 1
            if left:
                continue
            waiting.popleft()
            if whole.error:
                yield PreparedImage(whole.source, error=whole.error), None
            else:
                merged = merge(whole.found, whole.windows, whole.pixels.shape[:2])
                yield PreparedImage(whole.source, whole.pixels), merged


def _name(source: Any) -> str:
    name = source[0] if isinstance(source, tuple) else source
    return str(name) if isinstance(name, (str, int, Path)) else "image"


def merge(found: list[Detections], windows: list[Window], size: tuple[int, int]) -> Detections:
    """Merge the detections of an image's tiles.

    Two tiles have found the same object if their boxes agree; if one of them is only a part, in the
    pixels that both tiles see. Boxes that touch a border between tiles come last, so that a whole
    object replaces its parts; parts of the same object become one.

    Args:
        found: Detections of each tile, in pixels of the tile.
        windows: The tiles.
        size: Height and width of the image in pixels.

    Returns:
        The detections in pixels of the image, highest score first.
    """
    if len(found) == 1:
        return found[0]
    counts = [len(each) for each in found]
    tile = np.repeat(np.arange(len(found)), counts)
    bounds = np.float32(windows)[tile]
    boxes = np.concatenate([each.boxes for each in found]) + np.tile(bounds[:, :2], 2)
    scores = np.concatenate([each.scores for each in found])
    labels = np.concatenate([each.labels for each in found])
    is_part = _touches_inner_border(boxes, bounds, size)
    rest = np.lexsort((-scores, is_part))
    groups: list[list[int]] = []
    while len(rest):
        group, rest = [rest[0]], rest[1:]
        for member in group:  # which grows
            same = (labels[rest] == labels[member]) & (tile[rest] != tile[member])
            in_shared = _agree(boxes[member], boxes[rest], bounds[member], bounds[rest])
            in_all = _agree(boxes[member], boxes[rest])
            same &= np.where(is_part[rest] | is_part[member], in_shared, in_all)
            group += rest[same].tolist()
            rest = rest[~same]
            if not is_part[member]:
                break
        first = group[0]
        if is_part[first]:
            corners = boxes[group, :2].min(axis=0), boxes[group, 2:].max(axis=0)
            boxes[first], scores[first] = np.concatenate(corners), scores[group].max()
        groups.append(group if is_part[first] else group[:1])
    groups.sort(key=lambda group: -scores[group[0]])
    kept = np.array([group[0] for group in groups], np.int64)
    masks = None
    if found[0].masks is not None:
        masks = np.zeros((len(kept), *size), bool)
        first = np.cumsum([0, *counts])
        for target, group in zip(masks, groups):
            for index in group:
                left, top, right, bottom = windows[tile[index]]
                mask = found[tile[index]].masks[index - first[tile[index]]]
                target[top:bottom, left:right] |= mask
    return Detections(boxes[kept], scores[kept], labels[kept], masks, found[0].classes, size)


def _touches_inner_border(
    boxes: np.ndarray, bounds: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """Return which boxes reach a border of their tile that isn't one of the image."""
    margin = np.maximum(2, _BORDER * (bounds[:, 2:] - bounds[:, :2]))
    begins = (boxes[:, :2] - bounds[:, :2] < margin) & (bounds[:, :2] > 0)
    ends = (bounds[:, 2:] - boxes[:, 2:] < margin) & (bounds[:, 2:] < np.float32(size[::-1]))
    return (begins | ends).any(axis=1)


def _agree(
    box: np.ndarray,
    boxes: np.ndarray,
    window: np.ndarray = _EVERYTHING,
    windows: np.ndarray = _EVERYTHING,
) -> np.ndarray:
    """Return which boxes are the same as a box, in the pixels that are in both windows."""
    shared = np.maximum(window[:2], windows[..., :2]), np.minimum(window[2:], windows[..., 2:])
    one, other = (
        (np.maximum(each[..., :2], shared[0]), np.minimum(each[..., 2:], shared[1]))
        for each in (box, boxes)
    )
    intersection = _area(np.maximum(one[0], other[0]), np.minimum(one[1], other[1]))
    union = _area(*one) + _area(*other) - intersection
    return intersection > _SAME_OBJECT * union


def _area(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    return (ends - starts).clip(0).prod(axis=-1)
