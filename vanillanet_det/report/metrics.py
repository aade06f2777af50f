"""How well a detector does: by class, by size of the objects, and overall."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np
from pycocotools.cocoeval import COCOeval

from .coco_eval import (
    ALL,
    Area,
    has_masks,
    match_boxes,
    matches_by_image,
    mean,
    precisions,
    with_box_areas,
)

FALLBACK_SCORE = 0.3
_AT_50, _AT_75 = 0, 5  # among COCO's IoUs
# COCO's words; areas in pixels.
COCO_SIZES: dict[str, Area] = {
    "small: area below 32\u00b2": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large: area above 96\u00b2": (96.0**2, 1e10),
}
_QUARTERS = ("smallest quarter", "second quarter", "third quarter", "largest quarter")


@dataclass(frozen=True)
class ClassMetrics:
    """What was found of one class. Metrics are None where there is nothing to compute them from.

    Attributes:
        name: Of the class.
        number: Counted from 1.
        instances: Without crowds.
        ap: At IoU 0.50:0.95, as COCO has it.
        ap50: At IoU 0.5.
        precision: Share of the detections at the score threshold that are right, at IoU 0.5.
        recall: Share of the instances that these find.
        best_f1: The highest that any threshold gives, at IoU 0.5.
        best_score: That threshold.
        curve: Precision at 101 recalls, at IoU 0.5; None without instances.
    """

    name: str
    number: int
    instances: int
    ap: Optional[float]
    ap50: Optional[float]
    precision: Optional[float]
    recall: Optional[float]
    best_f1: Optional[float]
    best_score: Optional[float]
    curve: Optional[np.ndarray]


@dataclass(frozen=True)
class SizeMetrics:
    """What was found of objects of a size: `ap` at IoU 0.50:0.95, `recall` as by class."""

    name: str
    instances: int
    ap: Optional[float]
    recall: Optional[float]


@dataclass(frozen=True)
class Metrics:
    """What a report says in numbers.

    Attributes:
        ap: Box AP at IoU 0.50:0.95, as COCO has it; None without any instance.
        ap50: At IoU 0.5.
        ap75: At IoU 0.75.
        mask_ap: At IoU 0.50:0.95; None without outlines.
        score: The threshold on scores from which on a detection counts.
        precision: At this threshold and IoU 0.5, over all classes.
        recall: At this threshold and IoU 0.5, over all classes.
        f1: Of these two.
        classes: By rising id.
        coco_sizes: By COCO's three sizes, measured by `area`, which is that of the outline where
            there is one.
        quarters: By the quarters of the sizes of the boxes in the data.
        boxes: From `match_boxes`; confusion and pictures are made from it.
    """

    ap: Optional[float]
    ap50: Optional[float]
    ap75: Optional[float]
    mask_ap: Optional[float]
    score: float
    precision: Optional[float]
    recall: Optional[float]
    f1: Optional[float]
    classes: tuple[ClassMetrics, ...]
    coco_sizes: tuple[SizeMetrics, ...]
    quarters: tuple[SizeMetrics, ...]
    boxes: COCOeval


@dataclass(frozen=True)
class _Hits:
    """Detections that count, and which of them are right, at IoU 0.5."""

    scores: np.ndarray
    right: np.ndarray
    instances: int

    def at(self, score: float) -> tuple[Optional[float], Optional[float]]:
        """Compute precision and recall of the detections from a score on."""
        chosen = self.right[self.scores >= score]
        precision = float(chosen.mean()) if chosen.size else None
        return precision, float(chosen.sum() / self.instances) if self.instances else None

    def best(self) -> tuple[Optional[float], Optional[float]]:
        """Find the highest F1 and the threshold on scores that gives it."""
        if not self.instances or not self.scores.size:
            return None, None
        order = np.argsort(-self.scores, kind="stable")
        scores, found = self.scores[order], np.cumsum(self.right[order])
        f1 = 2 * found / (np.arange(1, len(found) + 1) + self.instances)
        f1[:-1][scores[:-1] == scores[1:]] = -1  # no threshold parts equal scores
        best = int(np.argmax(f1))
        return float(f1[best]), float(scores[best])


def compute_metrics(
    truth: dict, detections: Sequence[dict], score: Optional[float] = None
) -> Metrics:
    """Compute all figures of a report.

    Args:
        truth: From `prepare_truth`.
        detections: From `prepare_detections`.
        score: Threshold from which on a detection counts; unless given, the one of the highest
            F1 over all classes, rounded down to two digits.

    Returns:
        The figures.
    """
    boxes = match_boxes(truth, detections, [ALL])
    precision = precisions(truth, detections, "bbox", [ALL])[..., 0]
    hits = [_hits(boxes, k, 0) for k in range(len(truth["categories"]))]
    every = _joined(hits)
    if score is None:
        best = every.best()[1]
        score = FALLBACK_SCORE if best is None else math.floor(100 * best) / 100
    at_score, recall = every.at(score)
    mask_ap = None
    if has_masks(truth, detections):
        mask_ap = mean(precisions(truth, detections, "segm", [ALL]))
    return Metrics(
        ap=mean(precision),
        ap50=mean(precision[_AT_50]),
        ap75=mean(precision[_AT_75]),
        mask_ap=mask_ap,
        score=score,
        precision=at_score,
        recall=recall,
        f1=_f1(at_score, recall),
        classes=tuple(
            _class_metrics(category["name"], k + 1, precision[..., k], hits[k], score)
            for k, category in enumerate(truth["categories"])
        ),
        coco_sizes=_size_metrics(truth, detections, COCO_SIZES, score),
        quarters=_size_metrics(with_box_areas(truth), detections, _quarters(truth), score),
        boxes=boxes,
    )


def _f1(precision: Optional[float], recall: Optional[float]) -> Optional[float]:
    if recall is None:
        return None
    return 2 * (precision or 0) * recall / ((precision or 0) + recall) if recall else 0.0


def _hits(evaluator: COCOeval, category: int, area: int) -> _Hits:
    scores, right, instances = [np.zeros(0)], [np.zeros(0, bool)], 0
    for entry in matches_by_image(evaluator, category, area):
        counted = ~np.asarray(entry["dtIgnore"][0], bool)
        scores.append(np.asarray(entry["dtScores"], float)[counted])
        right.append((entry["dtMatches"][0] > 0)[counted])
        instances += int(np.sum(np.asarray(entry["gtIgnore"]) == 0))
    return _Hits(np.concatenate(scores), np.concatenate(right), instances)


def _joined(hits: Sequence[_Hits]) -> _Hits:
    scores = np.concatenate([np.zeros(0), *(each.scores for each in hits)])
    right = np.concatenate([np.zeros(0, bool), *(each.right for each in hits)])
    return _Hits(scores, right, sum(each.instances for each in hits))


def _class_metrics(
    name: str, number: int, precision: np.ndarray, hits: _Hits, score: float
) -> ClassMetrics:
    at_score, recall = hits.at(score)
    best_f1, best_score = hits.best()
    return ClassMetrics(
        name=str(name),
        number=number,
        instances=hits.instances,
        ap=mean(precision),
        ap50=mean(precision[_AT_50]),
        precision=at_score,
        recall=recall,
        best_f1=best_f1,
        best_score=best_score,
        curve=precision[_AT_50] if hits.instances else None,
    )


def _size_metrics(
    truth: dict, detections: Sequence[dict], sizes: Mapping[str, Area], score: float
) -> tuple[SizeMetrics, ...]:
    if not sizes:
        return ()
    areas = list(sizes.values())
    precision = precisions(truth, detections, "bbox", areas)
    # The best are matched first, so that the others change nothing.
    chosen = [detection for detection in detections if detection["score"] >= score]
    matches = match_boxes(truth, chosen, areas)
    figures = []
    for area, name in enumerate(sizes):
        hits = _joined([_hits(matches, k, area) for k in range(len(truth["categories"]))])
        ap = mean(precision[..., area])
        figures.append(SizeMetrics(name, hits.instances, ap, hits.at(score)[1]))
    return tuple(figures)


def _quarters(truth: dict) -> dict[str, Area]:
    boxes = [a["bbox"] for a in truth["annotations"] if not a["iscrowd"]]
    if not boxes:
        return {}
    areas = np.array([width * height for _, _, width, height in boxes], float)
    edges = np.quantile(areas, (0.25, 0.5, 0.75))
    # COCOeval's ranges hold both their ends.
    begins = [0.0, *np.nextafter(edges, np.inf)]
    ends = [*edges, ALL[1]]
    sides = np.sqrt([areas.min(), *edges, areas.max()])
    return {
        f"{name}: side {low:.0f} to {high:.0f}": (begin, end)
        for name, low, high, begin, end in zip(_QUARTERS, sides, sides[1:], begins, ends)
    }
