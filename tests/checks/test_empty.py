"""Datasets without objects are allowed as background images, and errors elsewhere."""

import json

import pytest
from mmdet.registry import DATASETS
from mmengine.registry import DefaultScope


def add_background(small, annotations=(), name=None, **keys):
    """Put a dataset without objects beside the one for training."""
    inner = small.dataset("train")
    background = dict(small["train"], annotations=list(annotations), categories=[])
    if annotations:
        background["categories"] = [dict(id=3, name=name)]
    (small.root / "background.json").write_text(json.dumps(background))
    small.cfg.train_dataloader.dataset = dict(
        type="ConcatDataset", datasets=[inner, dict(inner, ann_file="background.json", **keys)]
    )


def test_images_of_background_may_stand_beside_others(small):
    add_background(small, filter_cfg=dict(filter_empty_gt=False))
    assert small.check() == []
    with DefaultScope.overwrite_default_scope("mmdet"):
        dataset = DATASETS.build(small.cfg.train_dataloader.dataset)
    assert len(dataset) == 4
    assert dataset.get_data_info(3)["instances"] == []


@pytest.mark.parametrize("objects", [[], "others"])
def test_a_data_set_that_is_filtered_out_as_a_whole_is_an_error(small, objects):
    objects = small["train"]["annotations"][::2] if objects else []
    add_background(small, objects, name="zebra", filter_cfg=dict(filter_empty_gt=True))
    message = small.the_one("error", "data-empty")
    assert message.startswith(f"train_dataloader: annotation file {small.root}/background.json")
    assert f"none of its {len(objects)} annotations belongs to the config's classes" in message
    assert "drops all its 2 images, which makes MMDetection fail; set filter" in message
    with DefaultScope.overwrite_default_scope("mmdet"), pytest.raises(ValueError, match="need at"):
        DATASETS.build(small.cfg.train_dataloader.dataset)


def test_nothing_in_all_data_sets_together_is_an_error(small):
    add_background(small)
    small["train"]["annotations"] = []
    findings = small.check()
    assert {(f.level, f.code) for f in findings} == {("error", "data-empty")}
    assert "none of its 0 annotations" in findings[0].message


@pytest.mark.parametrize(("name", "level"), [("zebra", "warning"), ("Dog", "error")])
def test_objects_of_other_classes_are_reported(small, name, level):
    add_background(small, small["train"]["annotations"][::2], name=name)
    message = small.the_one(level, "data-empty")
    assert "none of its 2 annotations belongs to the config's classes (cat, dog)" in message


def test_validation_without_objects_is_an_error(small):
    small["val"]["annotations"] = []
    small.the_one("error", "data-empty")
    del small["val"]["annotations"]
    assert "expected COCO's lists" in small.the_one("error", "annotation-file")


@pytest.mark.parametrize("left_out", [True, False])
def test_images_for_tests_may_be_without_annotations(small, left_out):
    small.check()
    secret = {**small["val"], "annotations": []}
    if left_out:
        del secret["annotations"]
    (small.root / "secret.json").write_text(json.dumps(secret))
    small.cfg.test_dataloader = dict(dataset=dict(small.dataset("val"), ann_file="secret.json"))
    small.cfg.test_evaluator = dict(
        type="CocoMetric", ann_file=str(small.root / "secret.json"), format_only=True
    )
    check = dict(dataloaders=("test_dataloader",))
    assert small.check(**check) == []
    small.cfg.test_evaluator.format_only = False
    message = small.the_one("warning", "data-empty", **check)
    assert "AP will be -1; to only save detections" in message
