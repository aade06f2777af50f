"""What was found in each picture, and what was taken for what."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Optional

import numpy as np
from pycocotools import mask
from pycocotools.cocoeval import COCOeval

from .coco_eval import MIN_IOU, matches_by_image


@dataclass
class ImageMatches:
    """Truth and detections in an image, matched class by class as COCOeval does at IoU 0.5.

    Attributes:
        image: COCO's entry.
        truth: Its annotations.
        detections: Those that reach the threshold, best score first.
        pairs: Detection id and annotation id of what is right.
        on_crowd: Ids of detections that lie on a crowd, neither right nor wrong.
    """

    image: dict
    truth: list[dict] = field(default_factory=list)
    detections: list[dict] = field(default_factory=list)
    pairs: dict[int, int] = field(default_factory=dict)
    on_crowd: set[int] = field(default_factory=set)

    @property
    def missed(self) -> list[dict]:
        """Objects that no detection finds."""
        found = set(self.pairs.values())
        return [t for t in self.truth if not t["iscrowd"] and t["id"] not in found]

    @property
    def wrong(self) -> list[dict]:
        """Detections of nothing, or of something as another class."""
        known = {*self.pairs, *self.on_crowd}
        return [d for d in self.detections if d["id"] not in known]

    @property
    def f1(self) -> Optional[float]:
        """F1 of this picture; None where there is neither an object nor a detection."""
        total = 2 * len(self.pairs) + len(self.missed) + len(self.wrong)
        return 2 * len(self.pairs) / total if total else None

    @property
    def mean_iou(self) -> float:
        """Average the IoU of what is right; 0 if nothing is."""
        truth = {t["id"]: t for t in self.truth}
        right = [(d, truth[self.pairs[d["id"]]]) for d in self.detections if d["id"] in self.pairs]
        return float(np.mean([iou([d], [t])[0, 0] for d, t in right])) if right else 0.0


@dataclass(frozen=True)
class Confusion:
    """What was taken for what.

    Attributes:
        names: Classes in the order of `counts`, where the background comes last.
        counts: Row: what it is, or background; column: what it was taken for, or not found.
    """

    names: tuple[str, ...]
    counts: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """Counts, each row divided by its sum; 0 in an empty row."""
        return self.counts / np.maximum(self.counts.sum(axis=1, keepdims=True), 1)

    def most_confused(self, count: int) -> list[tuple[str, str, int, float]]:
        """List the classes that are taken for another class most often.

        Returns:
            What it is, what it was taken for, how often, and the share of the row.
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
    """Collect what COCOeval has matched, from a score on.

    It matches the best score first, so those below a threshold change nothing above it.

    Args:
        evaluator: From `match_boxes`; its first range of areas is all.
        images: COCO's entries.
        score: The threshold.

    Returns:
        A picture for each image.
    """
    pictures = {image["id"]: ImageMatches(image) for image in images}
    truth, found = evaluator.cocoGt.anns, evaluator.cocoDt.anns
    for category in range(len(evaluator.params.catIds)):
        for entry in matches_by_image(evaluator, category, 0):
            picture = pictures[entry["image_id"]]
            picture.truth += [truth[i] for i in entry["gtIds"]]
            columns = zip(entry["dtIds"], entry["dtMatches"][0], entry["dtIgnore"][0])
            for detection, matched, ignored in columns:
                if found[detection]["score"] < score:
                    break
                picture.detections.append(found[detection])
                if ignored:
                    picture.on_crowd.add(detection)
                elif matched:
                    picture.pairs[detection] = int(matched)
    for picture in pictures.values():
        picture.detections.sort(key=lambda detection: -detection["score"])
    return list(pictures.values())


def confuse(pictures: Sequence[ImageMatches], categories: Sequence[dict]) -> Confusion:
    """Count what was taken for what, at IoU 0.5.

    What is right comes first, so that the diagonal is what the figures by class count as found.
    Each other detection, best score first, is a wrong name for the object left that it covers
    best, or is found where there is nothing.

    Args:
        pictures: From `match`.
        categories: COCO's entries, by rising id.

    Returns:
        The counts.
    """
    place = {category["id"]: k for k, category in enumerate(categories)}
    background = len(place)
    counts = np.zeros((background + 1, background + 1), int)
    for picture in pictures:
        classes = {t["id"]: place[t["category_id"]] for t in picture.truth}
        for found in picture.pairs.values():
            counts[classes[found], classes[found]] += 1
        left = picture.missed
        for detection in picture.wrong:
            row = background
            if left:
                overlaps = iou([detection], left)[0]
                best = int(np.argmax(overlaps))
                if overlaps[best] >= MIN_IOU:
                    row = classes[left.pop(best)["id"]]
            counts[row, place[detection["category_id"]]] += 1
        for missed in left:
            counts[classes[missed["id"]], background] += 1
    return Confusion(tuple(str(category["name"]) for category in categories), counts)


def iou(detections: Sequence[dict], truth: Sequence[dict]) -> np.ndarray:
    """Compute the IoU of boxes, as COCOeval does.

    Returns:
        A row for each detection.
    """
    return mask.iou([d["bbox"] for d in detections], [t["bbox"] for t in truth], [0] * len(truth))


def rank(
    pictures: Sequence[ImageMatches], count: int
) -> tuple[list[ImageMatches], list[ImageMatches]]:
    """Choose the worst and the best pictures: by F1, then by mean IoU, then by fewer mistakes.

    Those with neither objects nor detections are left out, and none is in both.

    Args:
        pictures: From `match`.
        count: The most of each.

    Returns:
        The worst, worst first, and the best, best first.
    """
    ranked = sorted((p for p in pictures if p.f1 is not None), key=_quality)
    worst = ranked[: min(count, (len(ranked) + 1) // 2)]
    best = ranked[len(worst) :][::-1][:count]
    return worst, best


def _quality(picture: ImageMatches) -> tuple[float, float, int]:
    return picture.f1, picture.mean_iou, -len(picture.missed) - len(picture.wrong)
