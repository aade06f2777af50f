"""AP of images with more objects than COCO's 100 detections."""

import json

import numpy as np
import pytest
from mmdet.evaluation.metrics import CocoMetric

from vanillanet_det.evaluation import FasterCocoMetric
from vanillanet_det.evaluation.max_dets import detections_needed, most_objects

CLASSES = ("cell", "dust")


@pytest.fixture
def scene(tmp_path):
    """Function that writes an image of small squares in rows, so many of each class."""

    def write(*counts):
        boxes = [[12 * (i % 40), 12 * (i // 40), 10, 10] for i in range(sum(counts))]
        labels = np.repeat(np.arange(len(counts)), counts).tolist()
        annotations = [
            dict(id=i, image_id=1, category_id=label + 1, bbox=box, area=100, iscrowd=0)
            for i, (box, label) in enumerate(zip(boxes, labels), 1)
        ]
        path = tmp_path / "val.json"
        image = dict(id=1, width=480, height=480, file_name="1.png")
        names = [dict(id=i, name=name) for i, name in enumerate(CLASSES, 1)]
        content = dict(images=[image], annotations=annotations, categories=names)
        path.write_text(json.dumps(content))
        return path

    return write


def evaluate(path, metric=FasterCocoMetric, wrong=0, **kwargs):
    """Evaluate perfect detections after so many wrong ones of the first class."""
    if kwargs.get("backend") == "faster-coco-eval":
        pytest.importorskip("faster_coco_eval", reason="faster-coco-eval is not installed")
    made = metric(ann_file=str(path), **kwargs)
    made.dataset_meta = dict(classes=CLASSES)
    truth = json.loads(path.read_text())["annotations"]
    boxes = [[470, 470, 475, 475]] * wrong
    boxes += [[x, y, x + w, y + h] for x, y, w, h in (a["bbox"] for a in truth)]
    found = dict(
        img_id=1,
        bboxes=np.array(boxes, dtype=float),
        scores=np.linspace(0.9, 0.5, len(boxes)),
        labels=np.array([0] * wrong + [a["category_id"] - 1 for a in truth]),
    )
    return made.compute_metrics([(dict(width=480, height=480, img_id=1), found)])


@pytest.mark.parametrize("backend", ["pycocotools", "faster-coco-eval"])
@pytest.mark.parametrize("proposal_nums", [(100, 300, 1000), (1, 10, 100)])
def test_perfect_detections_of_many_objects(scene, backend, proposal_nums, log):
    path = scene(180, 3)
    assert evaluate(path, CocoMetric)["bbox_mAP"] == pytest.approx(0.78, abs=0.02)
    found = evaluate(path, backend=backend, proposal_nums=proposal_nums)
    assert found["bbox_mAP"] == found["bbox_mAP_50"] == found["bbox_mAP_s"] == 1
    assert "mAP counts 300 detections of a class in an image instead of 100" in log.text
    assert "180 objects of a class: 1.000" in log.text


@pytest.mark.parametrize("counts", [(100, 0), (60, 90)])
def test_elsewhere_ap_is_cocos(scene, counts, log):
    path = scene(*counts)
    expected = evaluate(path, CocoMetric, wrong=20)
    assert evaluate(path, wrong=20) == expected
    many = dict(proposal_nums=(300, 500, 1000), wrong=20)
    assert evaluate(path, **many) == evaluate(path, CocoMetric, **many)
    assert "mAP counts" not in log.text
    # COCO counts 100 detections of the first class, 20 of which are wrong.
    assert expected["bbox_mAP"] < 1


def test_how_many_detections_are_needed():
    needed = {0: 100, 93: 100, 100: 100, 101: 200, 180: 300, 200: 300, 201: 400}
    assert {most: detections_needed(most) for most in needed} == needed


def test_crowds_are_not_counted():
    annotations = [
        dict(image_id=image, category_id=label, iscrowd=crowd)
        for image, label, crowd in [
            (1, 1, 0),
            (1, 2, 0),
            (1, 2, 1),
            (2, 1, 1),
            (2, 1, 1),
            (3, 1, 0),
        ]
    ]
    assert most_objects(annotations) == 1
    assert most_objects(annotations, by_class=False) == 2
    assert most_objects(annotations, images={3}, by_class=False) == 1
    assert most_objects(annotations, categories={3}) == 0
