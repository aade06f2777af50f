"""Advice on made-up results."""

import pytest

from vanillanet_det.report.advice import advise
from vanillanet_det.report.coco_eval import prepare_detections, prepare_truth
from vanillanet_det.report.curves import Curves, Series
from vanillanet_det.report.matches import match
from vanillanet_det.report.metrics import compute_metrics

BOXES = [[100 * column, 50, 60, 60] for column in range(6)]


@pytest.fixture
def advice(make_detection):
    """Give advice on an image of 640 x 480 pixels, with objects and detections of a few classes."""

    def advice(truths, found, aps=(), classes=(dict(id=2, name="tram"),), **settings):
        truth = dict(
            images=[dict(id=1, file_name="street.jpg", width=640, height=480)],
            categories=[dict(id=1, name="car"), *classes],
            annotations=[
                dict(image_id=1, category_id=category, bbox=box, iscrowd=0)
                for category, box in truths
            ],
        )
        truth = prepare_truth(truth)
        detections = [make_detection(1, category, box, score) for category, box, score in found]
        metrics = compute_metrics(truth, prepare_detections(truth, detections), 0.3)
        images = match(metrics.boxes, truth["images"], metrics.score)
        curve = Series(tuple(range(1, len(aps) + 1)), tuple(aps))
        curves = Curves(metrics={"coco/bbox_mAP": curve} if aps else {})
        return advise(metrics, images, curves, **settings)

    return advice


def perfect(boxes=BOXES, score=0.9):
    return [(1, box) for box in boxes], [(1, box, score) for box in boxes]


def test_perfect_results_need_no_advice(advice):
    assert advice(*perfect(), aps=(0.5, 0.9, 0.9), input_size=(640, 480)) == []


@pytest.mark.parametrize(
    ("aps", "rises"),
    [
        ((0.1, 0.2, 0.3, 0.32, 0.34, 0.36), True),
        ((0.1, 0.3, 0.36, 0.36, 0.36, 0.361), False),  # it hardly rises
        ((0.1, 0.2, 0.3, 0.5, 0.6, 0.4), False),  # it fell at last
        ((0.1, 0.3), False),
        ((), False),
    ],
)
def test_ap_that_still_rises(advice, aps, rises):
    found = advice(*perfect(), aps=aps, longer="--resume --epochs 12")
    assert [text.endswith("Train longer: --resume --epochs 12") for text in found] == [True] * rises


def test_a_detector_that_finds_nothing_needs_training(advice):
    expected = ["Almost nothing is detected yet. Train longer: --resume --minutes 5"]
    assert advice(perfect()[0], [], longer="--resume --minutes 5") == expected


def test_a_class_that_is_missed(advice):
    truths = [*perfect()[0], *((2, [100 * x, 300, 50, 50]) for x in range(5))]
    (text,) = advice(truths, [*perfect()[1], (2, [0, 300, 50, 50], 0.8)])
    assert text.startswith("80 % of the 5 objects of class tram are missed at a score of 0.30")


def test_of_many_classes_the_three_worst_are_named(advice):
    names = [dict(id=2 + index, name=f"kind {index}") for index in range(5)]
    missed = [(2 + k, [20 * x, 200 + 20 * k, 15, 15]) for k in range(5) for x in range(5 + k)]
    found = advice([*perfect()[0], *missed], perfect()[1], classes=names)
    assert [text.split(" are missed")[0].split("class ")[1] for text in found] == [
        "kind 4",
        "kind 3",
        "kind 2",
    ]
    assert found[2].endswith("(2 other classes are missed as often)")


def test_too_few_objects_of_a_class_say_nothing(advice):
    assert advice([*perfect()[0], (2, [0, 300, 50, 50])], perfect()[1]) == []


def test_small_objects_that_are_missed(advice):
    small = [[20 * x, 300, 20, 20] for x in range(6)]
    truths = [*perfect()[0], *perfect(small)[0]]
    (text,) = advice(truths, perfect()[1], input_size=(192, 320))
    assert text.startswith("6 of 6 objects smaller than 16 pixels are missed")
    assert "half of them are 8 pixels or less" in text  # the shorter side limits the scale
    assert text.endswith("--input-size 960")
    tiny = [*perfect()[0], *perfect([[9 * x, 300, 8, 8] for x in range(6)])[0]]
    (text,) = advice(tiny, perfect()[1], input_size=(640, 480))
    assert text.endswith("--input-size 1344, or cut them into tiles: --tiles")
    assert advice(truths, perfect()[1], input_size=(640, 480)) == []  # not small at this size
    assert advice(truths, perfect()[1]) == []


def test_confident_detections_of_nothing(advice):
    wrong = [(1, [80 * x, 300, 40, 40], 0.7) for x in range(5)]
    (text,) = advice(perfect()[0], [*perfect()[1], *wrong])
    assert text.startswith(
        "5 detections with a score of at least 0.6 lie where nothing is labelled"
    )
    assert "street.jpg" in text
    for score, box in ((0.5, [400, 300, 40, 40]), (0.7, BOXES[0])):  # unsure; on an object
        assert advice(perfect()[0], [*perfect()[1], *wrong[:4], (1, box, score)]) == []
