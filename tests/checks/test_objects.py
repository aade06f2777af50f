"""Classes that MMDetection doesn't train on, although the file has annotations of them."""

import pytest


def change(small, split, name, **values):
    """Change all annotations of a class."""
    ids = {category["name"]: category["id"] for category in small[split]["categories"]}
    for annotation in small[split]["annotations"]:
        if annotation["category_id"] == ids[name]:
            annotation.update(values)


def by_code(findings):
    return {finding.code: finding for finding in findings}


def test_a_class_of_crowds_only_is_not_learned(small):
    change(small, "train", "dog", iscrowd=1)
    findings = by_code(small.check())
    message = findings["class-crowd"].message
    assert message.startswith(f"train_dataloader: annotation file {small.root}/train.json: most ")
    assert "annotations of dog (2 of 2) are crowds (iscrowd=1; Pascal VOC: difficult=1)" in message
    assert "; never learned: dog; if they are single objects, set iscrowd=0" in message
    assert "val_dataloader" in findings["class-untrained"].message
    assert "has dog, but no training image does" in findings["class-untrained"].message
    assert {finding.level for finding in findings.values()} == {"warning"}


def test_a_class_of_mostly_crowds_is_named_but_is_learned(small):
    extra = [
        dict(small["train"]["annotations"][1], id=200 + i, bbox=[i, 20, 4, 4], iscrowd=1)
        for i in range(3)
    ]
    small["train"]["annotations"] += extra
    message = small.the_one("warning", "class-crowd")
    assert "annotations of dog (3 of 5) are crowds" in message
    assert "never learned" not in message


def test_a_few_crowds_pass(small):
    small["train"]["annotations"][1]["iscrowd"] = 1
    assert small.check() == []


def test_a_class_of_crowds_in_validation_is_not_evaluated(small):
    change(small, "val", "cat", iscrowd=1)
    findings = by_code(small.check())
    assert "; not evaluated: cat" in findings["class-crowd"].message
    assert "has no object of cat, so AP" in findings["class-unvalidated"].message


def test_if_everything_is_a_crowd_one_error_says_so(small):
    for name in ("cat", "dog"):
        change(small, "train", name, iscrowd=1)
    message = small.the_one("error", "crowd-only")
    assert "CVAT exports brush masks as crowds" in message


@pytest.mark.parametrize(
    "values",
    [dict(bbox=[5, 5, 0.5, 9]), dict(ignore=1)],
    ids=["thin", "ignored"],
)
def test_a_class_whose_boxes_are_all_dropped_is_named(small, values):
    change(small, "train", "cat", **values)
    findings = by_code(small.check())
    message = findings["class-dropped"].message
    assert "MMDetection drops all boxes of cat (2 of 2): " in message
    assert "So these classes are never learned" in message
    assert "has cat, but no training image does" in findings["class-untrained"].message


def test_small_images_that_training_drops_are_counted(small):
    small.dataset("train").filter_cfg = dict(filter_empty_gt=True, min_size=32)
    small["train"]["images"][0].update(width=34, height=33)
    message = small.the_one("warning", "image-small", images=False)
    assert "image 12 is 40x30; filter_cfg=dict(min_size=32) silently drops" in message
    # A class that only small images have is not learned.
    small["train"]["annotations"] = (
        small["train"]["annotations"][:1] + small["train"]["annotations"][2:]
    )
    assert "boxes of dog (1 of 1)" in by_code(small.check(images=False))["class-dropped"].message
    small.dataset("train").filter_cfg.min_size = 1
    assert small.check(images=False) == []


def test_training_sets_make_up_for_each_other(small):
    change(small, "train", "dog", category_id=3)
    other = dict(small.dataset("train"), ann_file="val.json", data_prefix=dict(img="val/"))
    small.cfg.train_dataloader.dataset = dict(
        type="ConcatDataset", datasets=[small.dataset("train"), other]
    )
    assert "class-untrained" not in by_code(small.check())


def test_classes_that_the_config_leaves_out_are_not_missed(small):
    change(small, "train", "dog", iscrowd=1)
    for split in ("train", "val"):
        small.dataset(split).metainfo = dict(classes=("cat",))
    assert {finding.code for finding in small.check()} == {"category-dropped"}
