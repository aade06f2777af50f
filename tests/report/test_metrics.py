"""Metrics equal pycocotools' own, or a count by hand."""

import itertools
import math

import numpy as np
import pytest
from pycocotools import mask

from vanillanet_det import UserError
from vanillanet_det.report import metrics
from vanillanet_det.report.coco_eval import prepare_detections, prepare_truth
from vanillanet_det.report.metrics import compute_metrics


def metrics_of(truth, detections, score=None):
    truth = prepare_truth(truth)
    return compute_metrics(truth, prepare_detections(truth, detections), score)


def count_hits(truth, detections, score):
    """Number of correct detections, detections and instances."""
    chosen = [found for found in detections if found["score"] >= score]
    return len(truth) - len(missed(truth, chosen)), len(chosen), len(truth)


def missed(truth, detections):
    """Objects without a match: greedy, highest score first, at IoU 0.5."""
    left = list(truth)
    for found in sorted(detections, key=lambda d: -d["score"]):
        same = [a for a in left if all(a[k] == found[k] for k in ("image_id", "category_id"))]
        overlaps = [mask.iou([found["bbox"]], [a["bbox"]], [0])[0, 0] for a in same]
        if overlaps and max(overlaps) >= 0.5:
            left.remove(same[int(np.argmax(overlaps))])
    return left


def of_class(entries, category):
    return [entry for entry in entries if entry["category_id"] == category]


def test_overall_metrics_are_those_of_pycocotools(truth, detections, coco_stats):
    found = metrics_of(truth, detections)
    stats = coco_stats(truth, detections)
    assert (found.ap, found.ap50, found.ap75) == pytest.approx(stats[:3])
    assert [size.ap for size in found.coco_sizes[:2]] == pytest.approx(list(stats[3:5]))
    assert 0.2 < found.ap < 0.9  # neither all nor none are found
    assert found.mask_ap is None


def test_classes_are_those_of_pycocotools(truth, detections, coco_stats):
    for row, category in zip(metrics_of(truth, detections).classes, (3, 7, 20)):
        stats = coco_stats(truth, detections, catIds=[category])
        assert (row.ap, row.ap50) == pytest.approx(stats[:2])
        assert row.curve.mean() == pytest.approx(stats[1])
        assert row.instances == len(of_class(truth["annotations"], category))


def test_mask_ap_is_that_of_pycocotools(truth, detections, coco_stats):
    for found in detections:
        x, y, width, height = found["bbox"]
        outline = [[x, y, x + width, y, x + width, y + height, x, y + 0.6 * height]]
        found["segmentation"] = mask.merge(mask.frPyObjects(outline, 120, 160))
    stats = coco_stats(truth, detections, "segm")
    found = metrics_of(truth, detections)
    assert found.mask_ap == pytest.approx(stats[0])
    assert found.mask_ap != pytest.approx(found.ap)


@pytest.mark.parametrize("score", [0.2, 0.6, 0.9])
def test_precision_and_recall_at_a_score(truth, detections, score):
    found = metrics_of(truth, detections, score)
    for row, category in zip(found.classes, (3, 7, 20)):
        right, chosen, instances = count_hits(
            of_class(truth["annotations"], category), of_class(detections, category), score
        )
        assert row.precision == (pytest.approx(right / chosen) if chosen else None)
        assert row.recall == pytest.approx(right / instances)
    right, chosen, instances = count_hits(truth["annotations"], detections, score)
    assert found.precision == pytest.approx(right / chosen)
    assert found.recall == pytest.approx(right / instances)
    assert found.f1 == pytest.approx(2 * right / (chosen + instances))


def test_the_threshold_is_where_f1_is_highest(truth, detections):
    detections[3]["score"] = detections[5]["score"]  # no threshold separates equal scores

    def best(truth, detections):
        scores = [found["score"] for found in detections]
        hits = [(count_hits(truth, detections, score), score) for score in scores]
        return max(((2 * r / (n + m), score) for (r, n, m), score in hits))

    found = metrics_of(truth, detections)
    f1, score = best(truth["annotations"], detections)
    assert found.score == pytest.approx(int(100 * score) / 100)
    for row, category in zip(found.classes, (3, 7, 20)):
        f1, score = best(of_class(truth["annotations"], category), of_class(detections, category))
        assert row.best_f1 == pytest.approx(f1)
        assert row.best_score == pytest.approx(score)


@pytest.mark.parametrize("enough", [1, 1000])
def test_classes_with_enough_objects_have_a_threshold(truth, detections, monkeypatch, enough):
    monkeypatch.setattr(metrics, "_ENOUGH", enough)
    found = metrics_of(truth, detections)
    own = [math.floor(100 * row.best_score) / 100 for row in found.classes]
    assert len(set(own)) > 1
    expected = own if enough == 1 else [found.score] * len(own)
    assert found.class_scores == {row.name: s for row, s in zip(found.classes, expected)}
    nothing = metrics_of(truth, [])
    assert set(nothing.class_scores.values()) == {nothing.score}
    weak = metrics_of(truth, [dict(each, score=each["score"] / 1000) for each in detections])
    assert set(weak.class_scores.values()) == {0.05}


def test_sizes_count_what_is_of_that_size(truth, detections):
    found = metrics_of(truth, detections)
    areas = np.array([annotation["area"] for annotation in truth["annotations"]])
    counts = [np.sum(areas < 1024), np.sum((areas >= 1024) & (areas < 9216)), 0]
    assert [size.instances for size in found.coco_sizes] == counts
    assert found.coco_sizes[2].ap is None
    assert found.coco_sizes[2].recall is None


def test_quarters_are_of_the_boxes_in_the_dataset(truth, detections, coco_stats):
    found = metrics_of(truth, detections, score=0.3)
    boxes = [{**a, "area": a["bbox"][2] * a["bbox"][3]} for a in truth["annotations"]]
    areas = sorted(box["area"] for box in boxes)
    assert sum(quarter.instances for quarter in found.quarters) == len(areas)
    counts = [quarter.instances for quarter in found.quarters]
    assert max(counts) - min(counts) <= 1
    ends = [0, *(areas[count - 1] + 1e-6 for count in itertools.accumulate(counts))]
    left = missed(boxes, [d for d in detections if d["score"] >= 0.3])
    for quarter, low, high in zip(found.quarters, ends, ends[1:]):
        ranges = [[low, high]] * 4
        stats = coco_stats({**truth, "annotations": boxes}, detections, areaRng=ranges)
        assert quarter.ap == pytest.approx(stats[0])
        inside = [box for box in boxes if low < box["area"] <= high]
        not_found = [box for box in left if box in inside]
        assert quarter.recall == pytest.approx(1 - len(not_found) / len(inside))
    lowest, highest = (f"{areas[i] ** 0.5:.0f}" for i in (0, -1))
    assert found.quarters[0].name.startswith(f"smallest quarter: side {lowest} to ")
    assert found.quarters[-1].name.endswith(f" to {highest}")


def test_boxes_of_one_size_are_one_quarter(truth, detections):
    for annotation in truth["annotations"]:
        annotation["bbox"][2:] = [20, 20]
    instances = [quarter.instances for quarter in metrics_of(truth, detections).quarters]
    assert instances == [len(truth["annotations"]), 0, 0, 0]


def test_a_class_without_instances_has_no_metrics_of(truth, detections):
    truth["categories"].append({"id": 99, "name": "fish"})
    row = metrics_of(truth, detections).classes[-1]
    assert (row.ap, row.ap50, row.recall, row.best_f1, row.curve) == (None,) * 5
    assert row.instances == 0


def test_no_detections_are_no_error(truth):
    found = metrics_of(truth, [])
    assert (found.ap, found.recall, found.f1, found.score) == (0, 0, 0, 0.3)
    assert found.precision is None


def test_no_truth_is_no_error(truth, detections):
    truth["annotations"] = []
    found = metrics_of(truth, detections)
    assert (found.ap, found.recall, found.f1, found.quarters) == (None, None, None, ())


def test_crowds_are_neither_instances_nor_errors(truth, detections, make_detection):
    before = metrics_of(truth, detections, 0.3)
    crowd = [100, 60, 60, 60]
    truth["annotations"].append(
        {"id": 900, "image_id": 0, "category_id": 3, "bbox": crowd, "area": 3600, "iscrowd": 1}
    )
    inside = [make_detection(0, 3, [110 + i, 70, 20, 30], 0.9) for i in range(3)]
    after = metrics_of(truth, detections + inside, 0.3)
    assert after.precision == before.precision
    assert after.classes[0].instances == before.classes[0].instances


def test_keys_that_pycocotools_needs_may_be_missing(truth, detections):
    whole = metrics_of(truth, detections)
    for annotation in truth["annotations"]:
        del annotation["iscrowd"], annotation["area"]
    assert metrics_of(truth, detections).ap == whole.ap


@pytest.mark.parametrize("key", ["image_id", "category_id"])
def test_detections_of_another_truth_are_refused(truth, detections, key):
    detections[4][key] = 1234
    with pytest.raises(UserError, match=rf"detections: {key} 1234 isn't among the ids"):
        metrics_of(truth, detections)


def test_arguments_are_not_changed(truth, detections):
    before = repr((truth, detections))
    metrics_of(truth, detections)
    assert repr((truth, detections)) == before
