"""Computes metrics of detections: overall, by class and by object size."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np
from pycocotools.cocoeval import COCOeval

from .coco_eval import (
    ALL,
    Area,
    all_have_masks,
    match_boxes,
    matches_by_image,
    mean,
    precisions,
    with_box_areas,
)

FALLBACK_SCORE = 0.3
_LEAST_SCORE = 0.05  # without which almost everything would be drawn
_ENOUGH = 10  # objects, for a threshold of their class
_AT_50, _AT_75 = 0, 5  # indices of COCO's IoU thresholds
# COCO's names; areas in square pixels.
COCO_SIZES: dict[str, Area] = {
    "small: area below 32\u00b2": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large: area above 96\u00b2": (96.0**2, 1e10),
}
_QUARTERS = ("smallest quarter", "second quarter", "third quarter", "largest quarter")


@dataclass(frozen=True)
class ClassMetrics:
    """Metrics of a class; undefined metrics are None.

    Attributes:
        name: Class name.
        number: Number of the class, from 1.
        instances: Number of objects, excluding crowds.
        ap: COCO's AP at IoU 0.50:0.95.
        ap50: AP at IoU 0.5.
        precision: Precision at the score threshold and IoU 0.5.
        recall: Recall at the score threshold and IoU 0.5.
        best_f1: Highest F1 over all thresholds, at IoU 0.5.
        best_score: The score threshold with the highest F1.
        curve: Precision at 101 recall values and IoU 0.5; None if there are no instances.
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
    """Metrics of objects in a size range: AP at IoU 0.50:0.95, and recall as in `ClassMetrics`."""

    name: str
    instances: int
    ap: Optional[float]
    recall: Optional[float]


@dataclass(frozen=True)
class Metrics:
    """Metrics of a report.

    Attributes:
        ap: COCO's box AP at IoU 0.50:0.95; None if there are no instances.
        ap50: Box AP at IoU 0.5.
        ap75: Box AP at IoU 0.75.
        mask_ap: Mask AP at IoU 0.50:0.95; None if there are no masks.
        score: Score threshold for precision, recall and F1.
        precision: Precision at this threshold and IoU 0.5, over all classes.
        recall: Recall at this threshold and IoU 0.5, over all classes.
        f1: F1 of this precision and recall.
        classes: Metrics of each class, by ascending id.
        coco_sizes: Metrics for each of COCO's three sizes, measured by `area`, which is the mask
            area of objects with a mask.
        quarters: Metrics for each quarter of the box sizes in the dataset.
        boxes: Result of `match_boxes`, for the confusion matrix and the gallery.
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

    @property
    def class_scores(self) -> dict[str, float]:
        """Score threshold with the highest F1 of each class, by its name, for detection.

        It is that of all classes for a class with few objects, or of which nothing is found. It is
        rounded down to two digits, and at least 0.05.
        """
        return {
            row.name: max(_LEAST_SCORE, score)
            for row, score in zip(self.classes, self._best_scores())
        }

    def _best_scores(self) -> tuple[float, ...]:
        return tuple(
            _round_down(row.best_score) if row.instances >= _ENOUGH and row.best_f1 else self.score
            for row in self.classes
        )


@dataclass(frozen=True)
class _Hits:
    """Scores of the detections that count, and whether they are correct at IoU 0.5."""

    scores: np.ndarray
    correct: np.ndarray
    instances: int

    def at(self, score: float) -> tuple[Optional[float], Optional[float]]:
        """Compute precision and recall at a score threshold."""
        chosen = self.correct[self.scores >= score]
        precision = float(chosen.mean()) if chosen.size else None
        return precision, float(chosen.sum() / self.instances) if self.instances else None

    def best(self) -> tuple[Optional[float], Optional[float]]:
        """Return the highest F1 and its score threshold."""
        if not self.instances or not self.scores.size:
            return None, None
        order = np.argsort(-self.scores, kind="stable")
        scores, found = self.scores[order], np.cumsum(self.correct[order])
        f1 = 2 * found / (np.arange(1, len(found) + 1) + self.instances)
        f1[:-1][scores[:-1] == scores[1:]] = -1  # no threshold separates equal scores
        best = int(np.argmax(f1))
        return float(f1[best]), float(scores[best])


def compute_metrics(
    truth: dict, detections: Sequence[dict], score: Optional[float] = None
) -> Metrics:
    """Compute all metrics of a report.

    Args:
        truth: Ground truth from `prepare_truth`.
        detections: Detections from `prepare_detections`.
        score: Score threshold; if None, the threshold with the highest F1 over all classes is
            used, rounded down to two digits.
    """
    boxes = match_boxes(truth, detections, [ALL])
    precision = precisions(truth, detections, "bbox", [ALL])[..., 0]
    hits = [_hits(boxes, k, 0) for k in range(len(truth["categories"]))]
    every = _joined(hits)
    if score is None:
        best = every.best()[1]
        score = FALLBACK_SCORE if best is None else _round_down(best)
    at_score, recall = every.at(score)
    mask_ap = None
    if all_have_masks(truth, detections):
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


def _round_down(score: float) -> float:
    return math.floor(100 * score) / 100


def _f1(precision: Optional[float], recall: Optional[float]) -> Optional[float]:
    if recall is None:
        return None
    return 2 * (precision or 0) * recall / ((precision or 0) + recall) if recall else 0.0


def _hits(evaluator: COCOeval, category: int, area: int) -> _Hits:
    scores, correct, instances = [np.zeros(0)], [np.zeros(0, bool)], 0
    for entry in matches_by_image(evaluator, category, area):
        counted = ~np.asarray(entry["dtIgnore"][0], bool)
        scores.append(np.asarray(entry["dtScores"], float)[counted])
        correct.append((entry["dtMatches"][0] > 0)[counted])
        instances += int(np.sum(np.asarray(entry["gtIgnore"]) == 0))
    return _Hits(np.concatenate(scores), np.concatenate(correct), instances)


def _joined(hits: Sequence[_Hits]) -> _Hits:
    scores = np.concatenate([np.zeros(0), *(each.scores for each in hits)])
    correct = np.concatenate([np.zeros(0, bool), *(each.correct for each in hits)])
    return _Hits(scores, correct, sum(each.instances for each in hits))


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
    # The highest scores are matched first, so lower scores don't affect these matches.
    chosen = [detection for detection in detections if detection["score"] >= score]
    matches = match_boxes(truth, chosen, areas)
    metrics = []
    for area, name in enumerate(sizes):
        hits = _joined([_hits(matches, k, area) for k in range(len(truth["categories"]))])
        ap = mean(precision[..., area])
        metrics.append(SizeMetrics(name, hits.instances, ap, hits.at(score)[1]))
    return tuple(metrics)


def _quarters(truth: dict) -> dict[str, Area]:
    boxes = [a["bbox"] for a in truth["annotations"] if not a["iscrowd"]]
    if not boxes:
        return {}
    areas = np.array([width * height for _, _, width, height in boxes], float)
    edges = np.quantile(areas, (0.25, 0.5, 0.75))
    # COCOeval's ranges include both ends.
    begins = [0.0, *np.nextafter(edges, np.inf)]
    ends = [*edges, ALL[1]]
    sides = np.sqrt([areas.min(), *edges, areas.max()])
    return {
        f"{name}: side {low:.0f} to {high:.0f}": (begin, end)
        for name, low, high, begin, end in zip(_QUARTERS, sides, sides[1:], begins, ends)
    }
