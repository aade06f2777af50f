"""Comparison of an exported file's detections with PyTorch's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np

from ..runtime.results import Detections

_ROUNDING = 1e-4  # of the IoU of boxes that differ within the tolerance


@dataclass(frozen=True)
class Tolerance:
    """Maximum differences between a file's results and PyTorch's.

    Attributes:
        score: Maximum difference of scores.
        pixels: Maximum difference of box coordinates in pixels; None to use `iou` instead.
        iou: Minimum IoU of boxes.
        mask_iou: Minimum IoU of masks.
        min_score: Detections below this are ignored.
        share: Minimum share of PyTorch's and of the file's detections that must be matched.
        feature: Maximum difference of features, relative to the largest value.
    """

    score: float
    pixels: Optional[float]
    iou: float
    mask_iou: float
    min_score: float
    share: float
    feature: float


TOLERANCES = {
    "fp32": Tolerance(1e-4, 0.01, 0.0, 0.99, 0.0, 1.0, 1e-4),
    "fp16": Tolerance(0.02, None, 0.9, 0.9, 0.3, 0.98, 0.01),
    "bf16": Tolerance(0.1, None, 0.8, 0.8, 0.3, 0.9, 0.1),
    # The cost of int8 is measured in AP; this only catches files that are plainly wrong.
    "int8": Tolerance(0.3, None, 0.5, 0.5, 0.4, 0.6, 0.5),
}


@dataclass
class Differences:
    """Differences between a file's detections and PyTorch's, over several images.

    Attributes:
        expected: Number of PyTorch's detections that count.
        found: Number of the file's detections that count.
        matched: Number of matched pairs: same class, within the tolerance.
        ties: Number of detections, on either side, of which the choice between equal scores by
            non-maximum suppression left another; they don't count as expected or found.
        pixels: Largest difference of matched box coordinates, in pixels.
        iou: Smallest IoU of matched boxes.
        score: Largest difference of matched scores.
        mask_iou: Smallest IoU of matched masks; None without masks.
    """

    expected: int = 0
    found: int = 0
    matched: int = 0
    ties: int = 0
    pixels: float = 0.0
    iou: float = 1.0
    score: float = 0.0
    mask_iou: Optional[float] = None

    def within(self, tolerance: Tolerance) -> bool:
        """Return whether enough detections of PyTorch and of the file are matched."""
        return 2 * self.matched >= tolerance.share * (self.expected + self.found)

    def describe(self, tolerance: Tolerance) -> str:
        """Summarize the differences in a line."""
        box = f"box {self.pixels:.2g} pixels off" if tolerance.pixels else f"box IoU {self.iou:.2f}"
        mask = "" if self.mask_iou is None else f", mask IoU {self.mask_iou:.4f}"
        return (
            f"{self.matched} of {self.expected} detections matched, {self.found} found; "
            f"worst {box}, score {self.score:.2g} off{mask}"
            + (f"; {self.ties} others are ties of equal scores" if self.ties else "")
        )


def compare(
    pairs: Sequence[tuple[Detections, Detections]],
    tolerance: Tolerance,
    threshold: float,
    limit: int,
    overlap: float = 1.0,
    candidates: Optional[Callable[[int], Detections]] = None,
) -> Differences:
    """Compare a file's detections with PyTorch's.

    Args:
        pairs: PyTorch's and the file's detections in each image, highest score first.
        tolerance: Criteria for two detections to match. Detections within the score tolerance of
            being dropped, by the threshold or by the limit, needn't match.
        threshold: Score threshold of the detector.
        limit: Maximum number of detections in an image.
        overlap: IoU threshold of non-maximum suppression.
        candidates: Function that returns PyTorch's detections before non-maximum suppression, by
            the index of the image; with it, ties are told from differences if all detections must
            match.
    """
    result = Differences()
    for index, (reference, found) in enumerate(pairs):
        floor = max(tolerance.min_score, threshold) + tolerance.score
        for one in (reference, found):
            if len(one) == limit:
                floor = max(floor, float(one.scores.min()) + tolerance.score)
        matched, used = _match(reference, found, tolerance, result)
        # All detections above the floor count, below it only matched ones.
        expected = matched | (reference.scores >= floor)
        counted = used | (found.scores >= floor)
        same = matched[expected].all() and used[counted].all()
        if candidates is not None and tolerance.share == 1 and not same:
            known, _ = _match(found, candidates(index), tolerance, Differences())
            lost, new = _ties(reference, found, ~matched, ~used & known, overlap, tolerance.score)
            result.ties += int((lost & expected).sum() + (new & counted).sum())
            expected, counted = expected & ~lost, counted & ~new
        result.expected += int(expected.sum())
        result.found += int(counted.sum())
        result.matched += int(matched.sum())
    return result


def _ties(
    reference: Detections,
    found: Detections,
    left: np.ndarray,
    new: np.ndarray,
    overlap: float,
    tolerance: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the detections that only another choice between equal scores added or removed.

    Non-maximum suppression keeps one of two overlapping boxes with equal scores, and rounding
    decides which. What either of them suppresses is then kept or dropped, too.

    Args:
        reference: PyTorch's detections.
        found: The file's detections.
        left: Which of PyTorch's aren't matched.
        new: Which of the file's aren't matched, but are among PyTorch's candidates.
        overlap: IoU above which one suppresses the other.
        tolerance: Maximum difference of equal scores.

    Returns:
        Which of PyTorch's and of the file's detections these are.
    """
    rivals = _iou(reference.boxes, found.boxes) > overlap - _ROUNDING
    rivals &= reference.labels[:, None] == found.labels[None]
    rivals &= left[:, None] & new[None]
    ahead = reference.scores[:, None] - found.scores[None]
    equal = rivals & (np.abs(ahead) <= tolerance)
    tied, other = equal.any(axis=1), equal.any(axis=0)
    while True:
        dropped = (rivals & other & (ahead <= tolerance)).any(axis=1)
        added = (rivals & tied[:, None] & (ahead >= -tolerance)).any(axis=0)
        if not ((dropped & ~tied).any() or (added & ~other).any()):
            return tied, other
        tied, other = tied | dropped, other | added


def _match(
    reference: Detections, found: Detections, tolerance: Tolerance, result: Differences
) -> tuple[np.ndarray, np.ndarray]:
    """Match detections, highest score first, and record the largest differences."""
    matched, used = (np.zeros(len(one), bool) for one in (reference, found))
    sides = np.abs(reference.boxes[:, None] - found.boxes[None]).max(axis=2, initial=0)
    scores = np.abs(reference.scores[:, None] - found.scores[None])
    overlaps = _iou(reference.boxes, found.boxes)
    near = overlaps >= tolerance.iou if tolerance.pixels is None else sides <= tolerance.pixels
    near &= scores <= tolerance.score
    near &= reference.labels[:, None] == found.labels[None]
    for index in range(len(reference)):
        free = np.flatnonzero(near[index] & ~used)
        for other in free[np.argsort(sides[index, free], kind="stable")]:
            mask_iou = _mask_iou(reference, found, index, other)
            if mask_iou is not None and mask_iou < tolerance.mask_iou:
                continue
            matched[index] = used[other] = True
            result.pixels = max(result.pixels, float(sides[index, other]))
            result.iou = min(result.iou, float(overlaps[index, other]))
            result.score = max(result.score, float(scores[index, other]))
            if mask_iou is not None:
                result.mask_iou = min(mask_iou, result.mask_iou or 1.0)
            break
    return matched, used


def _iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    both = (high - low).clip(0).prod(axis=2)
    areas = [(one[:, 2:] - one[:, :2]).prod(axis=1) for one in (boxes, others)]
    return both / np.maximum(areas[0][:, None] + areas[1][None] - both, 1e-9)


def _mask_iou(reference: Detections, found: Detections, one: int, other: int) -> Optional[float]:
    if reference.masks is None or found.masks is None:
        return None
    a, b = reference.masks[one], found.masks[other]
    union = np.logical_or(a, b).sum()
    return float(np.logical_and(a, b).sum() / union) if union else 1.0
