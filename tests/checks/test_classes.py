"""Classes of the config and categories of the files, in both directions and in order."""

import pytest
from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS

from vanillanet_det.checks.annotation_file import read_annotation_file
from vanillanet_det.checks.datasets import find_datasets


@DATASETS.register_module()
class AllCategories(CocoDataset):
    METAINFO = {}  # noqa: RUF012, MMDetection's name


def set_classes(small, *classes):
    for split in ("train", "val"):
        small.dataset(split).metainfo = dict(classes=classes)


@pytest.mark.parametrize("spelling", ["Dog", "dgo", " dog", "dog_", "dogs"])
def test_a_misspelt_class_is_named_with_the_closest_category(small, spelling):
    small.dataset("train").metainfo = dict(classes=("cat", spelling))
    message = small.the_one("error", "class-misspelt")
    assert (
        f"the config's class {spelling!r} is not a category of the file, which has 'dog'" in message
    )
    assert "2 annotations would be dropped. Write 'dog' in metainfo" in message
    assert small.count == 2


def test_two_misspelt_classes_are_not_taken_for_the_same_category(small):
    small["train"]["categories"][0]["name"] = "dog house"
    small.dataset("train").metainfo = dict(classes=("dog_house", "Dog"))
    message = next(f.message for f in small.check() if f.code == "data-empty")
    assert "'dog_house' probably means 'dog house'; 'Dog' probably means 'dog'" in message


def test_a_class_of_no_category_is_a_warning(small):
    set_classes(small, "cat", "dog", "zebra")
    first, second = small.check()
    assert (first.level, first.code) == (second.level, second.code) == ("warning", "class-unknown")
    assert "classes zebra are not categories" in first.message


def test_categories_that_are_no_classes_are_counted(small):
    set_classes(small, "dog")
    first, second = small.check()
    assert (
        (first.level, first.code) == (second.level, second.code) == ("warning", "category-dropped")
    )
    assert "2 annotations are dropped" in first.message
    assert "cat (2)" in first.message


def test_categories_that_nobody_uses_and_a_config_without_classes_pass(small):
    for split in ("train", "val"):
        small[split]["categories"].append(dict(id=90, name="unused"))
    assert small.check() == []
    for split in ("train", "val"):
        small.dataset(split).type = "AllCategories"
        del small.dataset(split).metainfo
    assert small.check() == []


@pytest.mark.parametrize("classes", ["cat", tuple("cat")])
def test_a_class_that_is_a_text_is_an_error(small, classes):
    for split in ("train", "val"):
        small[split]["categories"] = [dict(id=id, name=n) for id, n in ((3, "cat"), (7, "unused"))]
        small[split]["annotations"] = small[split]["annotations"][::2]
        small.dataset(split).metainfo = dict(classes=classes)
    findings = small.check()
    assert {(f.level, f.code) for f in findings} == {("error", "classes-text")}
    how = "the string 'cat'" if classes == "cat" else "the letters of 'cat': c, a, t"
    assert findings[0].message.startswith(f"train_dataloader: metainfo classes is {how}")
    assert "write classes=('cat',) with the comma" in findings[0].message


def test_classes_in_a_file_pass(small):
    (small.root / "classes.txt").write_text("cat\ndog\n")
    for split in ("train", "val"):
        small.dataset(split).metainfo = dict(classes=str(small.root / "classes.txt"))
    assert small.check() == []


def test_classes_of_one_letter_pass(small):
    for split in ("train", "val"):
        for category, name in zip(small[split]["categories"], "ab"):
            category["name"] = name
    set_classes(small, "a", "b")
    assert small.check() == []


def test_another_order_in_validation_is_an_error(small):
    small["val"]["categories"].reverse()
    message = small.the_one("error", "category-order")
    assert message.startswith(f"val_dataloader: annotation file {small.root}/val.json: class 0")
    assert f"is 'dog', but 'cat' in {small.root}/train.json" in message


def test_a_category_that_only_validation_lacks_is_an_error(small):
    for split in ("train", "val"):
        small[split]["categories"].append(dict(id=9, name="emu"))
    set_classes(small, "cat", "dog", "emu")
    assert small.check() == []
    small["val"]["categories"].pop(0)
    small["val"]["annotations"] = small["val"]["annotations"][1::2]
    assert "category-order" in [f.code for f in small.check()]


def test_another_order_in_the_config_is_an_error(small):
    set_classes(small, "dog", "cat")
    message = small.the_one("error", "class-order")
    assert message.startswith("train_dataloader")
    assert "class 0 is 'cat', but 'dog' in the config" in message
    assert "classes=('cat', 'dog'" in message


def test_classes_that_differ_between_the_sets_are_an_error(small):
    small.dataset("val").metainfo = dict(classes=("dog", "cat"))
    assert small.the_one("error", "class-order").startswith("val_dataloader")


def test_mmdetection_numbers_classes_as_these_checks_say(small):
    set_classes(small, "dog", "cat")
    small.check()
    config = {key: value for key, value in small.dataset("train").items() if key != "type"}
    dataset = CocoDataset(**{**config, "pipeline": []})
    assert [dataset.cat2label[id] for id in (3, 7)] == [0, 1], "by the file, not the config"


def test_two_categories_of_one_name_are_an_error(small):
    small["train"]["categories"].append(dict(id=9, name="cat"))
    assert "two categories have the name 'cat'" in small.the_one("error", "category-duplicate")


def test_what_is_known_of_a_file_is_counted_by_category(small):
    small.check()
    dataset = find_datasets(small.cfg, ["train_dataloader"])[0]
    assert read_annotation_file(dataset).category_counts.tolist() == [2, 2]
