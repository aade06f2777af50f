"""Matches detections with objects in each image, and computes the confusion of classes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Optional

import numpy as np
from pycocotools import mask
from pycocotools.cocoeval import COCOeval

from .coco_eval import MIN_IOU, matches_by_image


@dataclass
class ImageMatches:
    """Ground truth and detections of an image, matched by class as in COCOeval at IoU 0.5.

    Attributes:
        image: The image's entry in the COCO file.
        truth: Annotations of the image.
        detections: Detections at or above the score threshold, highest score first.
        pairs: Mapping from the id of each correct detection to the id of its annotation.
        on_crowd: Ids of detections on a crowd, which are neither correct nor wrong.
    """

    image: dict
    truth: list[dict] = field(default_factory=list)
    detections: list[dict] = field(default_factory=list)
    pairs: dict[int, int] = field(default_factory=dict)
    on_crowd: set[int] = field(default_factory=set)

    @property
    def missed(self) -> list[dict]:
        """Objects that no detection matches."""
        matched = set(self.pairs.values())
        return [t for t in self.truth if not t["iscrowd"] and t["id"] not in matched]

    @property
    def wrong(self) -> list[dict]:
        """Detections that match no object of their class."""
        known = {*self.pairs, *self.on_crowd}
        return [d for d in self.detections if d["id"] not in known]

    @property
    def f1(self) -> Optional[float]:
        """F1 of this image; None if it has neither objects nor detections."""
        total = 2 * len(self.pairs) + len(self.missed) + len(self.wrong)
        return 2 * len(self.pairs) / total if total else None

    @property
    def mean_iou(self) -> float:
        """Mean IoU of the correct detections; 0 if there are none."""
        truth = {t["id"]: t for t in self.truth}
        pairs = [(d, truth[self.pairs[d["id"]]]) for d in self.detections if d["id"] in self.pairs]
        return float(np.mean([iou([d], [t])[0, 0] for d, t in pairs])) if pairs else 0.0


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix.

    Attributes:
        names: Class names, in the order of `counts`.
        counts: Number of objects; rows are true classes and background, columns are predicted
            classes and missed objects.
    """

    names: tuple[str, ...]
    counts: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """Counts divided by the sum of their row; 0 in an empty row."""
        return self.counts / np.maximum(self.counts.sum(axis=1, keepdims=True), 1)

    def most_confused(self, count: int) -> list[tuple[str, str, int, float]]:
        """List the most frequent confusions of two classes.

        Returns:
            True class, predicted class, count, and share of the row.
        """
        off = self.counts[:-1, :-1].copy()
        np.fill_diagonal(off, 0)
        order = np.argsort(-off, axis=None, kind="stable")[:count]
        places = [np.unravel_index(i, off.shape) for i in order]
        return [
            (self.names[row], self.names[column], int(off[row, column]), self.shares[row, column])
            for row, column in places
            if off[row, column]
        ]


def match(evaluator: COCOeval, images: Sequence[dict], score: float) -> list[ImageMatches]:
    """Collect COCOeval's matches at or above a score threshold.

    COCOeval matches the highest scores first, so detections below the threshold don't affect the
    matches above it.

    Args:
        evaluator: Result of `match_boxes`, whose first area range is `ALL`.
        images: The image entries of the COCO file.
        score: The score threshold.

    Returns:
        The matches of each image.
    """
    by_id = {image["id"]: ImageMatches(image) for image in images}
    truth, found = evaluator.cocoGt.anns, evaluator.cocoDt.anns
    for category in range(len(evaluator.params.catIds)):
        for entry in matches_by_image(evaluator, category, 0):
            matches = by_id[entry["image_id"]]
            matches.truth += [truth[i] for i in entry["gtIds"]]
            columns = zip(entry["dtIds"], entry["dtMatches"][0], entry["dtIgnore"][0])
            for detection, matched, ignored in columns:
                if found[detection]["score"] < score:
                    break
                matches.detections.append(found[detection])
                if ignored:
                    matches.on_crowd.add(detection)
                elif matched:
                    matches.pairs[detection] = int(matched)
    for matches in by_id.values():
        matches.detections.sort(key=lambda detection: -detection["score"])
    return list(by_id.values())


def confuse(images: Sequence[ImageMatches], categories: Sequence[dict]) -> Confusion:
    """Compute the confusion matrix at IoU 0.5.

    Correct detections are counted first, so that the diagonal agrees with recall by class. Each
    other detection, highest score first, is assigned to the unmatched object that it overlaps
    most, or to the background.

    Args:
        images: Result of `match`.
        categories: The category entries of the COCO file, by ascending id.
    """
    index = {category["id"]: k for k, category in enumerate(categories)}
    background = len(index)
    counts = np.zeros((background + 1, background + 1), int)
    for matches in images:
        classes = {t["id"]: index[t["category_id"]] for t in matches.truth}
        for matched in matches.pairs.values():
            counts[classes[matched], classes[matched]] += 1
        unmatched = matches.missed
        for detection in matches.wrong:
            row = background
            if unmatched:
                overlaps = iou([detection], unmatched)[0]
                best = int(np.argmax(overlaps))
                if overlaps[best] >= MIN_IOU:
                    row = classes[unmatched.pop(best)["id"]]
            counts[row, index[detection["category_id"]]] += 1
        for missed in unmatched:
            counts[classes[missed["id"]], background] += 1
    return Confusion(tuple(str(category["name"]) for category in categories), counts)


def iou(detections: Sequence[dict], truth: Sequence[dict]) -> np.ndarray:
    """Compute the IoU of boxes as COCOeval does; rows of the result are detections."""
    return mask.iou([d["bbox"] for d in detections], [t["bbox"] for t in truth], [0] * len(truth))


def rank(
    images: Sequence[ImageMatches], count: int
) -> tuple[list[ImageMatches], list[ImageMatches]]:
    """Select the worst and the best images: by F1, then mean IoU, then number of errors.

    Images with neither objects nor detections are omitted, and no image is in both lists.

    Args:
        images: Result of `match`.
        count: Maximum number of images in each list.

    Returns:
        The worst images, worst first; and the best images, best first.
    """
    ranked = sorted((image for image in images if image.f1 is not None), key=_quality)
    worst = ranked[: min(count, (len(ranked) + 1) // 2)]
    best = ranked[len(worst) :][::-1][:count]
    return worst, best


def _quality(matches: ImageMatches) -> tuple[float, float, int]:
    return matches.f1, matches.mean_iou, -len(matches.missed) - len(matches.wrong)
