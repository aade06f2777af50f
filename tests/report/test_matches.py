"""Matches and confusions in hand-made scenes."""

import numpy as np
import pytest

from vanillanet_det.report.coco_eval import prepare_detections, prepare_truth
from vanillanet_det.report.matches import Confusion, confuse, match, rank
from vanillanet_det.report.metrics import compute_metrics

A, B = [10, 10, 20, 20], [60, 10, 20, 20]
NEAR_A = [12, 10, 20, 20]  # IoU 18 / 22


def truth_box(image_id, category_id, box, iscrowd=0):
    return {"image_id": image_id, "category_id": category_id, "bbox": box, "iscrowd": iscrowd}


@pytest.fixture
def scene(make_detection):
    """Match boxes at a score of 0.5; returns matches and confusion of classes 1 and 2."""

    def make(truths, found, count=1):
        truth = {
            "images": [{"id": i, "file_name": f"{i}.png"} for i in range(1, count + 1)],
            "categories": [{"id": 2, "name": "two"}, {"id": 1, "name": "one"}],
            "annotations": [truth_box(*t) for t in truths],
        }
        truth = prepare_truth(truth)
        detections = prepare_detections(truth, [make_detection(*d) for d in found])
        metrics = compute_metrics(truth, detections, 0.5)
        images = match(metrics.boxes, truth["images"], metrics.score)
        return images, confuse(images, truth["categories"])

    return make


@pytest.mark.parametrize(
    ("found", "counts"),
    [
        pytest.param([(1, 1, NEAR_A, 0.9)], [[1, 0, 0], [0, 0, 0], [0, 0, 0]], id="right"),
        pytest.param([(1, 2, NEAR_A, 0.9)], [[0, 1, 0], [0, 0, 0], [0, 0, 0]], id="wrong class"),
        pytest.param([], [[0, 0, 1], [0, 0, 0], [0, 0, 0]], id="missed"),
        pytest.param([(1, 1, A, 0.49)], [[0, 0, 1], [0, 0, 0], [0, 0, 0]], id="below the score"),
        pytest.param([(1, 2, B, 0.9)], [[0, 0, 1], [0, 0, 0], [0, 1, 0]], id="of nothing"),
        pytest.param(
            [(1, 1, NEAR_A, 0.6), (1, 2, A, 0.9)], [[1, 0, 0], [0, 0, 0], [0, 1, 0]], id="both"
        ),
        pytest.param(
            [(1, 1, A, 0.9), (1, 1, NEAR_A, 0.8)], [[1, 0, 0], [0, 0, 0], [1, 0, 0]], id="twice"
        ),
    ],
)
def test_one_object_is_counted_once(scene, found, counts):
    _, confusion = scene([(1, 1, A)], found)
    assert confusion.names == ("one", "two")
    assert confusion.counts.tolist() == counts


def test_a_wrong_class_goes_to_the_object_with_the_largest_overlap(scene):
    shifted = [18, 10, 20, 20]
    _, confusion = scene([(1, 1, shifted), (1, 1, A)], [(1, 2, A, 0.9), (1, 2, A, 0.8)])
    # The second overlaps only the other one, at 12 / 28.
    assert confusion.counts.tolist() == [[0, 1, 1], [0, 0, 0], [0, 1, 0]]


def test_crowds_are_not_counted(scene):
    (image,), confusion = scene([(1, 1, [0, 0, 90, 90], 1)], [(1, 1, A, 0.9), (1, 1, B, 0.8)])
    assert not confusion.counts.any()
    assert len(image.on_crowd) == 2
    assert image.f1 is None


def test_the_diagonal_is_what_is_found_of_each_class(truth, detections):
    truth = prepare_truth(truth)
    found = prepare_detections(truth, detections)
    metrics = compute_metrics(truth, found)
    images = match(metrics.boxes, truth["images"], metrics.score)
    confusion = confuse(images, truth["categories"])
    for k, row in enumerate(metrics.classes):
        assert confusion.counts[k, k] == pytest.approx(row.recall * row.instances)
        assert confusion.counts[k].sum() == row.instances
        assert confusion.counts[k, k] / confusion.counts[:, k].sum() == pytest.approx(row.precision)
    assert confusion.counts[:, :-1].sum() == sum(d["score"] >= metrics.score for d in found)


def test_shares_are_of_rows_and_empty_rows_have_none():
    confusion = Confusion(("a", "b"), np.array([[3, 1, 0], [0, 0, 0], [2, 2, 0]]))
    assert confusion.shares.tolist() == [[0.75, 0.25, 0], [0, 0, 0], [0.5, 0.5, 0]]


def test_the_most_confused_come_first():
    counts = np.array([[9, 2, 0, 8], [5, 4, 0, 1], [0, 1, 0, 0], [7, 0, 0, 0]])
    pairs = Confusion(("a", "b", "c"), counts).most_confused(2)
    assert pairs == [("b", "a", 5, 0.5), ("a", "b", 2, pytest.approx(2 / 19))]
    assert len(Confusion(("a", "b", "c"), counts).most_confused(9)) == 3


def test_images_are_ranked_by_f1_then_iou_then_mistakes(scene):
    truths = [(i, 1, A) for i in range(1, 7)] + [(5, 1, B)]
    found = [
        (1, 1, A, 0.9),  # F1 1, IoU 1
        (2, 1, NEAR_A, 0.9),  # F1 1, IoU 18 / 22
        (3, 1, A, 0.9),
        (3, 2, B, 0.9),  # F1 2 / 3
        (4, 2, B, 0.9),  # nothing right, two mistakes
        (5, 2, [100, 100, 9, 9], 0.9),  # nothing right, three mistakes
    ]
    images, _ = scene(truths, found, count=7)
    f1 = {p.image["id"]: p.f1 for p in images}
    assert f1 == {1: 1, 2: 1, 3: pytest.approx(2 / 3), 4: 0, 5: 0, 6: 0, 7: None}
    assert images[1].mean_iou == pytest.approx(18 / 22)
    worst, best = rank(images, 8)
    assert [p.image["id"] for p in worst] == [5, 4, 6]
    assert [p.image["id"] for p in best] == [1, 2, 3]
    worst, best = rank(images, 2)
    assert [p.image["id"] for p in worst] == [5, 4]
    assert [p.image["id"] for p in best] == [1, 2]
