"""Advice on what to do next, from the results of a training run."""

import math
from collections.abc import Iterator, Sequence
from typing import Optional

from .curves import Curves
from .matches import ImageMatches, iou
from .metrics import Metrics

_NOTHING = 0.02  # AP below which only training longer helps
_RISE = 0.005  # of AP, in the last third of the validations
_SMALL_SIDE, _GOOD_SIDE = 16, 24  # pixels, as the network sees them
_LARGEST = 1344  # pixels
_LEAST = 5  # objects or detections, for a share to mean something
_CONFIDENT = 0.6
_NAMED = 3  # images


def advise(
    metrics: Metrics,
    images: Sequence[ImageMatches],
    curves: Curves,
    input_size: Optional[tuple[int, int]] = None,
    longer: str = "",
) -> list[str]:
    """Return what to do next, most important first; nothing if there is no advice.

    Args:
        metrics: Metrics of the detections.
        images: Matches of each validation image.
        curves: Curves of the run.
        input_size: Longer and shorter side in pixels that images are resized to; None if unknown.
        longer: Options that continue the training.
    """
    if metrics.ap is not None and metrics.ap < _NOTHING:
        return [f"Almost nothing is detected yet. Train longer{longer and ': '}{longer}"]
    return [
        *_about_training(curves, longer),
        *_about_classes(metrics),
        *([] if input_size is None else _about_size(images, input_size)),
        *_about_labels(images),
    ]


def _about_training(curves: Curves, longer: str) -> Iterator[str]:
    series = curves.metrics.get("coco/bbox_mAP")
    if series is None or len(series.y) < 3:
        return
    before = max(series.y[: -(-2 * len(series.y) // 3)])
    if series.y[-1] >= max(series.y) and series.y[-1] - before >= _RISE:
        yield (
            f"AP is still rising: it was {before:.3f} after two thirds of the validations, and is "
            f"{series.y[-1]:.3f} now. Train longer{longer and ': '}{longer}"
        )


def _about_classes(metrics: Metrics) -> Iterator[str]:
    rows = [row for row in metrics.classes if row.recall is not None and row.instances >= _LEAST]
    rows = [row for row in rows if row.recall < 0.5]
    rows.sort(key=lambda row: -row.instances * (1 - row.recall))
    others = f" ({len(rows) - _NAMED} other classes are missed as often)" * (len(rows) > _NAMED)
    for index, row in enumerate(rows[:_NAMED], 1):
        if row.recall is not None:
            yield (
                f"{100 * (1 - row.recall):.0f} % of the {row.instances} objects of class "
                f"{row.name} are missed at a score of {metrics.score:.2f}. Label more of them, "
                f"or detect this class with a lower score{others * (index == _NAMED)}"
            )


def _about_size(images: Sequence[ImageMatches], size: tuple[int, int]) -> Iterator[str]:
    sides: list[float] = []  # of small objects
    missed = 0
    for matches in images:
        sides_of_image = matches.image["width"], matches.image["height"]
        factor = min(max(size) / max(sides_of_image), min(size) / min(sides_of_image))
        ids = {each["id"] for each in matches.missed}
        for each in matches.truth:
            length = factor * math.sqrt(each["bbox"][2] * each["bbox"][3])
            if not each["iscrowd"] and length < _SMALL_SIDE:
                sides.append(length)
                missed += each["id"] in ids
    if len(sides) >= _LEAST and missed > len(sides) / 2:
        median = sorted(sides)[len(sides) // 2]
        better = 32 * math.ceil(min(4, _GOOD_SIDE / max(median, 1)) * max(size) / 32)
        option = f"--input-size {better}"
        if better > _LARGEST:
            option = f"--input-size {_LARGEST}, or cut them into tiles: --tiles"
        yield (
            f"{missed} of {len(sides)} objects smaller than {_SMALL_SIDE} pixels are missed: at "
            f"this input size, half of them are {median:.0f} pixels or less. Enlarge the images, "
            f"in another work dir: {option}"
        )


def _about_labels(images: Sequence[ImageMatches]) -> Iterator[str]:
    found: list[tuple[int, str]] = []
    for matches in images:
        overlaps = iou(matches.wrong, matches.truth) if matches.wrong and matches.truth else None
        count = sum(
            detection["score"] >= _CONFIDENT and (overlaps is None or overlaps[index].max() < 0.1)
            for index, detection in enumerate(matches.wrong)
        )
        if count:
            found.append((count, matches.image["file_name"]))
    total = sum(count for count, _ in found)
    if total >= _LEAST:
        names = ", ".join(name for _, name in sorted(found, key=lambda each: -each[0])[:_NAMED])
        yield (
            f"{total} detections with a score of at least {_CONFIDENT} lie where nothing is "
            f"labelled. Look at these images: {names}. If they show objects, label them"
        )
