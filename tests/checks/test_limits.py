"""Limits of a detector and an evaluator that the number of objects in an image exceeds."""

import pytest
from mmengine.config import Config

from vanillanet_det.checks.limits import find_limits

TWO_STAGES = dict(
    type="FasterRCNN",
    roi_head=dict(type="StandardRoIHead"),
    train_cfg=dict(rpn_proposal=dict(nms_pre=100, max_per_img=150)),
    test_cfg=dict(
        rpn=dict(nms_pre=1000, max_per_img=110),
        rcnn=dict(max_per_img=100, nms=dict(type="nms", iou_threshold=0.5)),
    ),
)


@pytest.fixture
def dense(small):
    """The small dataset with 120 boxes of 2x2 pixels in its first training image."""
    first = small["train"]["annotations"][0]
    small["train"]["annotations"] += [
        dict(first, id=1000 + i, bbox=[3 * (i % 12), 3 * (i // 12), 2, 2], area=4)
        for i in range(118)
    ]
    return small


def test_fewer_detections_than_objects(dense):
    dense.cfg.model = dict(type="RetinaNet", test_cfg=dict(nms_pre=1000, max_per_img=100))
    message = dense.the_one("warning", "detection-limit")
    assert "train.json: image 11 has 120 objects" in message
    assert "but model.test_cfg.max_per_img is 100, so some can't be detected" in message
    assert message.endswith("set model.test_cfg.max_per_img=200")
    dense.cfg.model.test_cfg.max_per_img = 200
    assert dense.check() == []


def test_fewer_proposals_and_candidates_than_objects(dense):
    dense.cfg.model = TWO_STAGES
    message = dense.the_one("warning", "detection-limit")
    for number in (
        "test_cfg.rcnn.max_per_img=200",
        "test_cfg.rpn.max_per_img=600",
        "train_cfg.rpn_proposal.nms_pre=600",
    ):
        assert f"model.{number}" in message
    assert "rpn.nms_pre" not in message


@pytest.mark.parametrize(
    ("model", "key"),
    [
        (dict(type="DETR", num_queries=100), "model.num_queries"),
        (dict(type="SparseRCNN", rpn_head=dict(num_proposals=100)), "model.rpn_head.num_proposals"),
        (dict(panoptic_head=dict(num_queries=100)), "model.panoptic_head.num_queries"),
    ],
)
def test_fewer_queries_than_objects(dense, model, key):
    dense.cfg.model = model
    message = dense.the_one("warning", "detection-limit")
    assert f"{key} is 100" in message
    assert "use a detector without a fixed number of queries" in message


def test_views_for_test_time_augmentation_are_limited_too(dense):
    dense.cfg.tta_model = dict(tta_cfg=dict(max_per_img=100))
    assert "tta_model.tta_cfg.max_per_img=200" in dense.the_one("warning", "detection-limit")


def test_an_evaluator_that_counts_100_detections(dense):
    dense.contents["val"]["annotations"] += [
        dict(a, image_id=11) for a in dense["train"]["annotations"][4:]
    ]
    message = dense.the_one("warning", "evaluator-limit")
    assert message.startswith(
        f"val_dataloader: annotation file {dense.root}/val.json: an image has"
    )
    assert "set val_evaluator.type='FasterCocoMetric'" in message
    dense.cfg.val_evaluator.type = "FasterCocoMetric"
    assert dense.check() == []
    dense.cfg.val_evaluator = dict(dense.cfg.val_evaluator, type="CocoMetric", use_mp_eval=True)
    assert dense.check() == []


def test_objects_of_a_class_that_overlap_more_than_nms_allows(small):
    small.cfg.model = dict(test_cfg=dict(nms=dict(type="nms", iou_threshold=0.5)))
    assert small.check() == []
    first = small["train"]["annotations"][0]
    x, y, w, h = first["bbox"]
    small["train"]["annotations"].append(dict(first, id=999, bbox=[x + 2, y, w, h]))
    message = small.the_one("warning", "nms-overlap")
    assert "1 of 5 objects overlap another of their class" in message
    assert "model.test_cfg.nms.iou_threshold=0.5" in message
    small["train"]["annotations"][-1]["category_id"] = 7  # of another class
    assert small.check() == []


def test_configs_of_all_kinds_have_limits(root):
    def keys(name):
        return {limit.key for limit in find_limits(Config.fromfile(root / f"configs/{name}.py"))}

    assert keys("retinanet_vanillanet11_coco") == {
        "model.test_cfg.max_per_img",
        "model.test_cfg.nms_pre",
        "tta_model.tta_cfg.max_per_img",
    }
    assert len(keys("cascade_rcnn_vanillanet11_coco")) == 6
    assert find_limits(dict(model=dict(type="YOLOX", test_cfg=dict(max_per_img=-1)))) == []
