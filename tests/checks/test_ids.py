"""Ids that COCO's evaluation can't use are reported before training, and no others."""

import json

import numpy as np
import pytest
import torch
from mmdet.registry import METRICS
from pycocotools.coco import COCO

CLASSIC = dict(type="CocoMetric")
PYCOCOTOOLS = dict(type="FasterCocoMetric", backend="pycocotools")
FASTER = dict(type="FasterCocoMetric", backend="faster-coco-eval")


def set_ids(small, split, images=(11, 12), annotations=(113, 117, 123, 127), categories=(3, 7)):
    content = small[split]
    for key, new in (("image_id", images), ("category_id", categories)):
        entries = content["images" if key == "image_id" else "categories"]
        ids = {entry["id"]: id for entry, id in zip(entries, new)}
        for entry in entries:
            entry["id"] = ids[entry["id"]]
        for annotation in content["annotations"]:
            annotation[key] = ids[annotation[key]]
    for annotation, id in zip(content["annotations"], annotations):
        annotation["id"] = id


def average_precision(small, evaluator):
    """Evaluate detections that are the objects themselves; None if the evaluation fails."""
    content = small["val"]
    numbers = {category["id"]: i for i, category in enumerate(content["categories"])}
    metric = METRICS.build(dict(evaluator, ann_file=str(small.root / "val.json")))
    metric.dataset_meta = dict(classes=("cat", "dog"))
    for image in content["images"]:
        objects = [a for a in content["annotations"] if a["image_id"] == image["id"]]
        x, y, w, h = np.array([a["bbox"] for a in objects], np.float32).T
        found = dict(
            bboxes=torch.from_numpy(np.stack([x, y, x + w, y + h], 1)),
            scores=torch.ones(len(objects)),
            labels=torch.tensor([numbers[a["category_id"]] for a in objects]),
        )
        metric.process({}, [dict(pred_instances=found, img_id=image["id"], ori_shape=(30, 40))])
    try:
        return metric.evaluate(len(content["images"]))["coco/bbox_mAP"]
    except (TypeError, ValueError, OverflowError):
        return None


@pytest.mark.parametrize("evaluator", [CLASSIC, PYCOCOTOOLS, FASTER], ids=str)
@pytest.mark.parametrize(
    "ids",
    [
        dict(),
        dict(annotations=("3f2a-1", "3f2a-2", "3f2a-3", "3f2a-4")),
        dict(annotations=("1", "2", "3", "4")),
        dict(annotations=(1.5, 2.5, 3.5, 4.5)),
        dict(annotations=(1, 2, 3, 10**400)),
        dict(annotations=(1, 2, 3, 1 << 63)),
        dict(annotations=(-1, -2, -3, -4)),
        dict(annotations=(0, 1, 2, 3)),
        dict(annotations=("0", 1, 2, 3)),
        dict(images=("000a12", "b")),
        dict(images=("000a12", 1234567890123456)),
        dict(images=(1.5, 2)),
        dict(categories=("a", "b")),
        dict(categories=("a", 2)),
    ],
    ids=lambda ids: str(ids)[:60],
)
def test_what_is_found_is_what_fails_in_the_evaluation(small, evaluator, ids):
    if evaluator is FASTER:
        pytest.importorskip("faster_coco_eval")
    set_ids(small, "val", **ids)
    small.cfg.val_evaluator.update(evaluator)
    findings = small.check()
    precision = average_precision(small, evaluator)
    codes = {(finding.level, finding.code) for finding in findings}
    assert codes <= {("error", "id-kind"), ("warning", "id-zero")}
    assert bool(codes) == (precision is None or precision < 0.999)
    if precision is None:
        assert ("error", "id-kind") in codes


def test_ids_that_are_none_are_named_with_what_to_do(small):
    small.cfg.val_evaluator.update(PYCOCOTOOLS)
    set_ids(small, "val", annotations=("3f2a", "3f2b"))
    assert small.the_one("error", "id-kind") == (
        f"val_dataloader: annotation file {small.root}/val.json: annotations: the id '3f2a' isn't "
        "an integer below 2^63 (and 1 more like it); COCO's evaluation fails on other ids, or "
        "counts their objects as missed; number the annotations from 1, as vanillanet-det finetune "
        "does when it converts a dataset"
    )
    assert small.count == 2


def test_ids_of_both_kinds_and_of_texts_are_told_apart(small):
    small.cfg.val_evaluator.update(PYCOCOTOOLS)
    set_ids(small, "val", images=("a12", 7))
    message = small.the_one("error", "id-kind")
    assert "images: the id 'a12' is a string, but others are numbers" in message
    pytest.importorskip("faster_coco_eval")
    small.cfg.val_evaluator.update(FASTER)
    message = small.the_one("error", "id-kind")
    assert "images: the id 'a12' is a string; faster-coco-eval, which computes AP here" in message
    assert "or set backend='pycocotools' in FasterCocoMetric" in message


@pytest.mark.parametrize(
    "ids", [dict(images=("a b", 12)), dict(annotations="abcd"), dict(categories=("a", 2))]
)
def test_ids_that_nothing_compares_may_be_anything_that_json_has(small, ids):
    set_ids(small, "train", **ids)
    assert small.check() == []
    set_ids(small, "val", **ids)
    if "categories" in ids:
        set_ids(small, "train", categories=ids["categories"])
    for evaluator in (dict(type="DumpDetResults"), dict(PYCOCOTOOLS, format_only=True)):
        small.cfg.val_evaluator = dict(evaluator, ann_file=str(small.root / "val.json"))
        assert small.check() == []


@pytest.mark.parametrize("name", ["images", "annotations", "categories"])
@pytest.mark.parametrize("id", [[1], {"a": 1}])
def test_an_id_that_cannot_be_looked_up_is_an_error_in_training_too(small, name, id):
    small["train"][name][0]["id"] = id
    findings = {finding.code: finding for finding in small.check()}
    assert findings["id-kind"].level == "error"
    assert f"{name}: the id {id!r} isn't a number; MMDetection" in findings["id-kind"].message
    (small.root / "train.json").write_text(json.dumps(small["train"]))
    with pytest.raises(TypeError, match="unhashable"):
        COCO(small.root / "train.json")


def test_the_id_that_the_evaluation_takes_for_none_is_a_warning(small):
    for split in ("train", "val"):
        small[split]["annotations"][0]["id"] = 0
    message = small.the_one("warning", "id-zero")
    assert message.startswith("val_dataloader")
    assert "number the annotations from 1" in message


def test_an_image_that_is_listed_twice_is_a_warning(small):
    first, second = small["train"]["images"]
    second["file_name"] = first["file_name"]
    message = small.the_one("warning", "image-repeated")
    assert "images: 1-11.png is listed twice; in each of its entries, the objects" in message
