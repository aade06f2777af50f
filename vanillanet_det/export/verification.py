"""Whether an exported file gives what PyTorch gives."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np

from ..runtime.results import Detections


@dataclass(frozen=True)
class Tolerance:
    """How far detections of a file may be from those of PyTorch.

    Attributes:
        score: Difference of scores.
        pixels: Difference of a box's sides in pixels; None for a least IoU instead.
        iou: The least IoU of boxes.
        mask_iou: The least IoU of masks.
        least_score: Detections below it don't count.
        share: Share of detections, of both, that must have such a partner.
        feature: Difference of features, as a share of the largest value.
    """

    score: float
    pixels: Optional[float]
    iou: float
    mask_iou: float
    least_score: float
    share: float
    feature: float


TOLERANCES = {
    "fp32": Tolerance(1e-4, 0.01, 0.0, 0.99, 0.0, 1.0, 1e-4),
    "fp16": Tolerance(0.02, None, 0.9, 0.9, 0.3, 0.98, 0.01),
    "bf16": Tolerance(0.1, None, 0.8, 0.8, 0.3, 0.9, 0.1),
    # What int8 costs is judged by AP. This finds files that are plainly wrong.
    "int8": Tolerance(0.3, None, 0.5, 0.5, 0.4, 0.6, 0.5),
}


@dataclass
class Differences:
    """Detections of a file beside those of PyTorch, over several pictures.

    Attributes:
        expected: Number of PyTorch's detections that count.
        found: Number of the file's that count.
        partners: Number of pairs: of the same class and near enough.
        pixels: The largest difference of a side of paired boxes, in pixels.
        iou: The least IoU of paired boxes.
        score: The largest difference of paired scores.
        mask_iou: The least IoU of paired masks; None without masks.
    """

    expected: int = 0
    found: int = 0
    partners: int = 0
    pixels: float = 0.0
    iou: float = 1.0
    score: float = 0.0
    mask_iou: Optional[float] = None

    def within(self, tolerance: Tolerance) -> bool:
        """Say whether enough of both have a partner."""
        return 2 * self.partners >= tolerance.share * (self.expected + self.found)

    def describe(self, tolerance: Tolerance) -> str:
        """Say it in words."""
        box = f"box {self.pixels:.2g} pixels off" if tolerance.pixels else f"box IoU {self.iou:.2f}"
        mask = "" if self.mask_iou is None else f", mask IoU {self.mask_iou:.4f}"
        return (
            f"{self.partners} of {self.expected} detections found again, among {self.found}; "
            f"worst {box}, score {self.score:.2g} off{mask}"
        )


def compare(
    pairs: Sequence[tuple[Detections, Detections]],
    tolerance: Tolerance,
    threshold: float,
    limit: int,
) -> Differences:
    """Compare a file's detections with PyTorch's.

    Args:
        pairs: PyTorch's and the file's for each picture, highest score first.
        tolerance: What makes two of them partners. Those that are this near to being left out,
            at the threshold or as the last, need none.
        threshold: The score from which detections are given.
        limit: The largest number of detections in a picture.

    Returns:
        The differences.
    """
    result = Differences()
    for reference, found in pairs:
        floor = max(tolerance.least_score, threshold) + tolerance.score
        for one in (reference, found):
            if len(one) == limit:
                floor = max(floor, float(one.scores.min()) + tolerance.score)
        partners, used = _pair(reference, found, tolerance, result)
        # Above the floor all count, below it only those with a partner.
        result.expected += int((partners | (reference.scores >= floor)).sum())
        result.found += int((used | (found.scores >= floor)).sum())
        result.partners += int(partners.sum())
    return result


def _pair(
    reference: Detections, found: Detections, tolerance: Tolerance, result: Differences
) -> tuple[np.ndarray, np.ndarray]:
    """Pair detections, the best first, and note how far partners are apart."""
    partners, used = (np.zeros(len(one), bool) for one in (reference, found))
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
            partners[index] = used[other] = True
            result.pixels = max(result.pixels, float(sides[index, other]))
            result.iou = min(result.iou, float(overlaps[index, other]))
            result.score = max(result.score, float(scores[index, other]))
            if mask_iou is not None:
                result.mask_iou = min(mask_iou, result.mask_iou or 1.0)
            break
    return partners, used


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
