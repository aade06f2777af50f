"""What MMDetection drops without a word is said, and two spellings of a class, too."""

import pytest
from mmdet.registry import DATASETS
from mmengine.registry import DefaultScope


def loaded(small, split="train"):
    """Count the objects that MMDetection's own dataset keeps."""
    with DefaultScope.overwrite_default_scope("mmdet"):
        dataset = DATASETS.build(small.dataset(split))
    return sum(len(dataset.get_data_info(i)["instances"]) for i in range(len(dataset)))


def test_ignored_annotations_are_reported(small):
    small["train"]["annotations"][1]["ignore"] = 1
    message = small.the_one("warning", "annotation-ignored")
    assert "annotation 117 of image 11 has ignore=1; MMDetection silently drops" in message
    assert loaded(small) == 3


@pytest.mark.parametrize(("min_size", "count"), [(30, 4), (31, 2), (32, 0)])
def test_small_images_are_reported(small, min_size, count):
    small["train"]["images"][0].update(width=90, height=31)
    small.dataset("train").filter_cfg = dict(min_size=min_size)
    if count == 4:
        assert small.check(images=False) == []
    else:
        message = small.the_one("warning" if count else "error", "image-small", images=False)
        assert f"filter_cfg=dict(min_size={min_size}) silently drops" in message
        assert f"with {4 - count} objects" in message
    if count:  # MMDetection fails on an empty dataset
        assert loaded(small) == count


def test_small_images_are_evaluated(small):
    small.dataset("val").filter_cfg = dict(min_size=500)
    assert small.check() == []
    assert loaded(small, "val") == 4


@pytest.mark.parametrize(("width", "kept"), [(1, 4), (0.9, 3)])
def test_boxes_of_a_pixel_are_reported(small, width, kept):
    first = small["train"]["annotations"][0]
    for i in range(200):
        box = [i / 10, 1, 5, 5]
        small["train"]["annotations"].append(dict(first, id=1000 + i, bbox=box))
    first["bbox"] = [5, 5, width, 9]
    message = small.the_one("warning", "box-thin" if width == 1 else "box-tiny")
    assert f"annotation 113 of image 11: box [5, 5, {width}, 9]: it is" in message
    assert loaded(small) == 200 + kept


@pytest.mark.parametrize(("angle", "is_found"), [(45.0, True), (-90, True), (0.0, False), (360, 0)])
def test_boxes_that_cvat_rotates_are_reported(small, angle, is_found):
    small["train"]["annotations"][0]["attributes"] = dict(occluded=False, rotation=angle)
    assert bool(small.check()) == bool(is_found)
    if is_found:
        message = small.the_one("error", "box-rotated")
        assert f"annotation 113 of image 11: attributes.rotation is {angle}" in message


@pytest.mark.parametrize(
    ("name", "is_found"),
    [("Cat", True), ("CAT ", True), ("c a t", False), ("cats", False), ("cat-", False)],
)
def test_two_spellings_of_a_class_are_reported(small, name, is_found):
    for content in small.contents.values():
        content["categories"][1]["name"] = name
    for split in small.contents:
        small.dataset(split).metainfo = dict(classes=("cat", name))
    assert bool(small.check()) == is_found
    if is_found:
        message = small.the_one("warning", "class-spelling")
        assert f"'cat' (2) and {name!r} (2) are separate classes" in message


def test_a_spelling_without_objects_is_no_matter(small):
    for split, content in small.contents.items():
        content["categories"].append(dict(id=9, name="Dog"))
        small.dataset(split).metainfo = dict(classes=("cat", "dog", "Dog"))
    assert small.check() == []
