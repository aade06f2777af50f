"""Computes precisions and matches with COCOeval."""

import contextlib
import io
from collections.abc import Sequence
from typing import Any, Optional

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ..errors import UserError
from ..evaluation.coco_metric import find_evaluator
from ..evaluation.max_dets import detections_needed, most_objects

Area = tuple[float, float]
ALL: Area = (0.0, 1e10)
MIN_IOU = 0.5  # of a match


def precisions(
    truth: dict, detections: Sequence[dict], kind: str, areas: Sequence[Area]
) -> np.ndarray:
    """Compute the precisions that AP averages, with faster-coco-eval if installed.

    Args:
        truth: Ground truth from `prepare_truth`.
        detections: Detections from `prepare_detections`.
        kind: `bbox` or `segm`.
        areas: Ranges of object area, in square pixels.

    Returns:
        COCOeval's precision, of shape (IoUs 0.50:0.95, recalls, classes, areas); -1 if there are
        no objects.
    """
    make, _ = find_evaluator()
    with contextlib.redirect_stdout(io.StringIO()):  # COCOeval prints its progress
        evaluator = _make(make, truth, detections, kind, areas)
        evaluator.evaluate()
        evaluator.accumulate()
    return evaluator.eval["precision"][..., 0]


def match_boxes(truth: dict, detections: Sequence[dict], areas: Sequence[Area]) -> COCOeval:
    """Match detected boxes with the ground truth at IoU 0.5.

    Returns:
        pycocotools' evaluator with `evalImgs`, which faster-coco-eval doesn't provide.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = _make(COCOeval, truth, detections, "bbox", areas)
        evaluator.params.iouThrs = np.array([MIN_IOU])
        evaluator.evaluate()
    return evaluator


def _make(
    make: type, truth: dict, detections: Sequence[dict], kind: str, areas: Sequence[Area]
) -> COCOeval:
    evaluator = make(_index(truth, truth["annotations"]), _index(truth, detections), kind)
    evaluator.params.areaRng = [list(area) for area in areas]
    evaluator.params.areaRngLbl = list(map(str, areas))
    evaluator.params.maxDets = [detections_needed(most_objects(truth["annotations"]))]
    return evaluator


def _index(truth: dict, annotations: Sequence[dict]) -> COCO:
    index = COCO()
    # The annotations are copied, since pycocotools modifies them.
    copies = [dict(annotation) for annotation in annotations]
    index.dataset = {**truth, "annotations": copies}
    with contextlib.redirect_stdout(io.StringIO()):
        index.createIndex()
    return index


def prepare_truth(truth: dict) -> dict:
    """Add the keys that pycocotools requires and that a COCO file may lack.

    Returns:
        A copy with images and categories sorted by id. Its annotations have `area` and `iscrowd`,
        and are numbered from 1, since pycocotools interprets a match with id 0 as no match.
    """
    return {
        "images": sorted(truth["images"], key=lambda image: image["id"]),
        "categories": sorted(truth["categories"], key=lambda category: category["id"]),
        "annotations": [
            {"area": _area(annotation), "iscrowd": 0, **annotation, "id": number}
            for number, annotation in enumerate(truth["annotations"], 1)
        ],
    }


def prepare_detections(truth: dict, detections: Sequence[dict]) -> list[dict]:
    """Check COCO results and number them from 1.

    Raises:
        UserError: An image or a class isn't in the ground truth.
    """
    for key, table in (("image_id", "images"), ("category_id", "categories")):
        known = {entry["id"] for entry in truth[table]}
        for detection in detections:
            if detection[key] not in known:
                raise UserError(
                    f"detections: {key} {detection[key]!r} isn't among the ids of the ground "
                    f"truth's {len(known)} {table}; pass detections on images of this ground truth"
                )
    return [
        {**detection, "area": _area(detection), "iscrowd": 0, "id": number}
        for number, detection in enumerate(detections, 1)
    ]


def _area(annotation: dict) -> float:
    return annotation["bbox"][2] * annotation["bbox"][3]


def with_box_areas(truth: dict) -> dict:
    """Return a copy of the ground truth with box areas instead of mask areas."""
    annotations = [{**a, "area": _area(a)} for a in truth["annotations"]]
    return {**truth, "annotations": annotations}


def matches_by_image(evaluator: COCOeval, category: int, area: int) -> list[dict[str, Any]]:
    """List COCOeval's matches of each image that has any, for one class and one area range.

    Args:
        evaluator: Result of `match_boxes`.
        category: Index of the category.
        area: Index of the area range.
    """
    count = len(evaluator.params.imgIds)
    begin = (category * len(evaluator.params.areaRng) + area) * count
    return [entry for entry in evaluator.evalImgs[begin : begin + count] if entry is not None]


def all_have_masks(truth: dict, detections: Sequence[dict]) -> bool:
    """Return whether all annotations and detections have a mask, as mask AP requires."""
    annotations = [*truth["annotations"], *detections]
    return bool(detections) and all(annotation.get("segmentation") for annotation in annotations)


def mean(values: np.ndarray) -> Optional[float]:
    """Average COCOeval's values; return None if all of them are undefined (-1)."""
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else None
