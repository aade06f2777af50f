"""A file that differs from PyTorch is detected; rounding errors are tolerated."""

from dataclasses import replace

import numpy as np
import pytest
import torch

if torch.__version__ < (2, 6):
    pytest.skip("exporting needs PyTorch 2.6", allow_module_level=True)

from vanillanet_det.export.comparison import TOLERANCES, compare
from vanillanet_det.runtime import Detections

BOXES = np.float32([[10, 10, 50, 60], [12, 10, 50, 60], [100, 20, 160, 90], [5, 5, 5, 9]])


@pytest.fixture
def reference():
    masks = np.zeros((4, 100, 200), bool)
    masks[:, 10:60, 10:50] = True
    scores = np.float32([0.9, 0.8, 0.7, 0.06])
    return Detections(BOXES, scores, np.array([0, 1, 0, 2]), masks, ("a", "b", "c"), (100, 200))


def check(reference, found, precision="fp32", limit=100):
    tolerance = TOLERANCES[precision]
    differences = compare([(reference, found)], tolerance, 0.05, limit)
    return differences, differences.within(tolerance)


def without(detections, index):
    parts = {
        name: np.delete(getattr(detections, name), index, axis=0)
        for name in ("boxes", "scores", "labels", "masks")
    }
    return replace(detections, **parts)


def test_equal_ones(reference):
    differences, within = check(reference, reference)
    assert within
    assert (differences.expected, differences.found, differences.matched) == (4, 4, 4)
    assert (differences.pixels, differences.score, differences.mask_iou) == (0, 0, 1)


def test_rounding(reference):
    found = replace(reference, boxes=BOXES + np.float32(0.005), scores=reference.scores - 5e-5)
    differences, within = check(reference, found)
    assert within
    assert differences.pixels == pytest.approx(0.005, rel=1e-2)
    assert differences.score == pytest.approx(5e-5, rel=1e-2)
    assert "4 of 4 detections matched" in differences.describe(TOLERANCES["fp32"])


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("what", ["missing", "more", "box", "score", "label", "mask"])
def test_what_is_too_far(reference, what, precision):
    boxes, scores, labels, masks = (
        getattr(reference, name).copy() for name in ("boxes", "scores", "labels", "masks")
    )
    boxes[2, 0] += 0.02 if precision == "fp32" else 40
    scores[2] -= 2e-4 if precision == "fp32" else 0.2
    labels[2] = 2
    masks[2, 10:60, 10:30] = False
    found = {
        "missing": without(reference, 0),
        "more": reference,
        "box": replace(reference, boxes=boxes),
        "score": replace(reference, scores=scores),
        "label": replace(reference, labels=labels),
        "mask": replace(reference, masks=masks),
    }[what]
    expected = without(reference, 2) if what == "more" else reference
    differences, within = check(expected, found, precision)
    assert not within, differences


def test_one_at_the_threshold_needs_no_match(reference):
    near = replace(reference, scores=np.float32([0.9, 0.8, 0.7, 0.05005]))
    assert check(near, without(near, 3))[1]
    assert check(without(near, 3), near)[1]
    assert not check(reference, without(reference, 3))[1]


def test_the_last_of_a_full_list_needs_none(reference):
    other = replace(reference, boxes=BOXES + np.float32([[0], [0], [0], [30]]))
    assert not check(reference, other)[1]
    assert check(reference, other, limit=4)[1]


def test_the_nearest_is_matched(reference):
    # Both of the first are near both, once classes don't tell them apart.
    labels = np.zeros(4, int)
    scores = np.float32([0.8, 0.8, 0.7, 0.06])
    one = replace(reference, labels=labels, scores=scores)
    turned = replace(one, boxes=BOXES[[1, 0, 2, 3]])
    differences, within = check(one, turned)
    assert within
    assert differences.pixels == 0


def test_each_is_matched_once(reference):
    boxes, scores = BOXES.copy(), reference.scores.copy()
    boxes[1], scores[1] = boxes[0], scores[0]
    twice = replace(reference, boxes=boxes, scores=scores, labels=np.zeros(4, int))
    assert check(twice, twice)[1]
    assert not check(twice, without(twice, 1))[1]


# Neighbours overlap with an IoU of 0.74, the first and the third one with 0.54.
SATURATED = np.float32([[0, 0, 40, 40], [6, 0, 46, 40], [12, 0, 52, 40], [80, 0, 120, 40]])


def choose(*chosen, scores=(1.0, 1.0, 0.9, 0.8), moved=0.0):
    chosen = list(chosen)
    boxes, scores = SATURATED[chosen] + np.float32(moved), np.float32(scores)[chosen]
    return Detections(boxes, scores, np.zeros(len(chosen), int), None, ("a",), (100, 200))


def settled(expected, found):
    tolerance, candidates = TOLERANCES["fp32"], [None, choose(0, 1, 2, 3)]
    pairs = [(choose(3), choose(3)), (expected, found)]
    result = compare(pairs, tolerance, 0.05, 100, 0.6, candidates.__getitem__)
    assert not compare(pairs, tolerance, 0.05, 100).within(tolerance)
    return result, result.within(tolerance)


def test_another_of_two_equal_scores_is_a_tie():
    result, within = settled(choose(0, 3), choose(1, 3))
    assert within
    assert (result.expected, result.found, result.matched, result.ties) == (2, 2, 2, 2)
    assert "2 others are ties of equal scores" in result.describe(TOLERANCES["fp32"])


def test_what_a_tie_suppresses_is_part_of_it():
    # The first box doesn't suppress the third one; the second does.
    assert settled(choose(0, 2, 3), choose(1, 3))[1]
    assert settled(choose(1, 3), choose(0, 2, 3))[1]
    assert not settled(choose(1, 3), choose(1, 2, 3))[1]


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        (choose(0, 3), choose(0, 3, moved=1)),  # boxes that PyTorch doesn't find
        (choose(0, 3), choose(1, 3, moved=1)),
        (choose(0, 3), choose(1, 3, scores=(1, 0.999, 0, 0.8))),  # not its score
        (choose(0, 3), choose(3)),
        (choose(0, 3), choose(0, 1, 3)),  # no suppression
        (choose(0, 3), choose(2, 3)),  # the less likely one
    ],
)
def test_differences_are_no_ties(expected, found):
    assert not settled(expected, found)[1]


def test_images_add_up(reference):
    tolerance = TOLERANCES["fp32"]
    nothing = without(reference, [0, 1, 2, 3])
    pairs = [(reference, reference), (nothing, nothing), (reference, without(reference, 1))]
    differences = compare(pairs, tolerance, 0.05, 100)
    assert (differences.expected, differences.found, differences.matched) == (8, 7, 7)
    assert not differences.within(tolerance)
