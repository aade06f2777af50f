"""Each mistake in entries and boxes is one finding, with an example and the count."""

import math

import pytest

MANY = 300


def grow(small, split="train"):
    """Give the first image many sound boxes, so that one bad one is a stray."""
    annotations = small[split]["annotations"]
    annotations += [
        dict(annotations[0], id=1000 + i, bbox=[i / 20, 1, 5, 5]) for i in range(1, MANY)
    ]


def test_a_clean_data_set_passes(small):
    assert small.check() == []


@pytest.mark.parametrize(
    ("box", "code", "said"),
    [
        ([0, 0, -5, 5], "box-inverted", "its width or height is negative"),
        ([9, 9, 0, 5], "box-empty", "its width or height is 0"),
        ([41, 5, 5, 5], "box-outside", "it lies outside the image of 40x30"),
        ([5, -9, 5, 9], "box-outside", "it lies outside"),
        ([1, 2, "12.5", 5], "box-not-numbers", "isn't four numbers"),
        ([1, 2, math.nan, 5], "box-not-numbers", "isn't four numbers"),
        ([1, 2, math.inf, 5], "box-not-numbers", "isn't four numbers"),
        ([1, 2, 3], "box-not-numbers", "isn't four numbers"),
        ([], "box-not-numbers", "isn't four numbers"),
        ([1, 2, 10**400, 5], "box-not-numbers", "isn't four numbers"),
        ([1.5, 2, 10**400, 5], "box-not-numbers", "isn't four numbers"),
    ],
)
def test_a_box_that_is_none_is_an_error(small, box, code, said):
    small["train"]["annotations"][1]["bbox"] = box
    message = small.the_one("error", code)
    where = f"train_dataloader: annotation file {small.root}/train.json: annotation 117 of image 11"
    assert message.startswith(where)
    assert said in message
    if code == "box-not-numbers":
        assert "vanillanet-det finetune" in message


def test_boxes_of_texts_throughout_are_no_numbers(small):
    for annotation in small["train"]["annotations"]:
        annotation["bbox"] = [str(value) for value in annotation["bbox"]]
    message = small.the_one("error", "box-not-numbers")
    assert "bbox ['7.5', '3', '10', '8'] isn't four numbers (and 3 more like it)" in message
    assert small.count == 4


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        (dict(bbox=[9, 9, 0, 5]), "box-empty"),
        (dict(area=0), "area-empty"),
        (dict(bbox=[9, 9, 0.5, 5]), "box-tiny"),
        (dict(bbox=[35, 9, 10, 5]), "box-overhang"),
    ],
)
def test_one_stray_box_of_many_is_a_warning(small, changes, code):
    grow(small)
    small["train"]["annotations"][-1].update(changes)
    assert "annotation 1299 of image 11" in small.the_one("warning", code)


def test_areas_of_nothing_throughout_are_an_error(small):
    for annotation in small["train"]["annotations"]:
        annotation["area"] = 0
    assert "(and 3 more like it); MMDetection silently drops such boxes" in small.the_one(
        "error", "area-empty"
    )


def test_an_area_that_is_a_text_is_an_error(small):
    small["val"]["annotations"][0]["area"] = "80"
    assert "area '80' isn't a number" in small.the_one("error", "area-not-number")


def test_corners_taken_for_sizes_are_an_error(small):
    for annotation in small["train"]["annotations"]:
        annotation["bbox"] = [20, 15, 35, 28]
        annotation["category_id"] = 3 + 4 * (annotation["id"] % 2)
    findings = {finding.code: finding for finding in small.check()}
    assert findings["box-overhang"].level == "error"
    assert "[x, y, width, height] in pixels, not corners" in findings["box-overhang"].message


def test_a_box_on_the_border_passes(small):
    small["train"]["annotations"][0]["bbox"] = [-0.5, 0, 41, 30]
    assert small.check() == []


def test_the_same_box_twice_is_a_warning(small):
    first = small["train"]["annotations"][0]
    small["train"]["annotations"] += [dict(first, id=900), dict(first, id=901)]
    small["train"]["annotations"].append(dict(first, id=902, category_id=7))
    message = small.the_one("warning", "box-duplicate")
    assert "annotation 900 of image 11" in message
    assert small.count == 2


@pytest.mark.parametrize(("name", "id"), [("images", 11), ("annotations", 113)])
def test_the_same_id_twice_is_an_error(small, name, id):
    small["train"][name].append(dict(small["train"][name][0]))
    findings = {finding.code: finding for finding in small.check()}
    message = findings["id-duplicate"].message
    assert f"{name}: id {id} is used twice" in message
    assert f"renumber the {name}" in message


@pytest.mark.parametrize("id", [99, "11", [11], None])
def test_an_annotation_of_an_unknown_image_is_an_error(small, id):
    small["train"]["annotations"][0]["image_id"] = id
    message = next(f.message for f in small.check() if f.code == "image-unknown")
    assert f"annotation 113 of image {id}: the file lists no image with this id" in message


def test_an_annotation_of_an_unknown_category_is_an_error(small):
    small["train"]["annotations"][0]["category_id"] = "3"
    message = small.the_one("error", "category-unknown")
    assert "the file lists no category with category_id '3'" in message


@pytest.mark.parametrize(
    ("name", "key"),
    [("images", "width"), ("images", "file_name"), ("annotations", "area"), ("annotations", "id")],
)
def test_an_entry_without_what_is_needed_is_an_error(small, name, key):
    del small["train"][name][1][key]
    message = small.the_one("error", "entry-incomplete")
    assert f"{name}[1] (id " in message
    assert f"has no {key}" in message


@pytest.mark.parametrize("width", ["40", 0, -40, 10**400])
def test_an_image_size_that_is_none_is_an_error(small, width):
    small["train"]["images"][0]["width"] = width
    message = small.the_one("error", "image-size", images=width == "40")
    assert f"image 11 has width {width!r} and height 30" in message


def test_crowds_pass_unless_there_is_nothing_else(small):
    first, *others = small["train"]["annotations"]
    first["iscrowd"] = 1
    assert small.check() == []
    for annotation in others:
        annotation["iscrowd"] = 1
    message = small.the_one("error", "crowd-only")
    assert "all 4 annotations are crowds (iscrowd=1)" in message


def test_entries_that_are_none_are_an_error(small):
    small["train"]["annotations"].append(7)
    message = small.the_one("error", "annotation-file")
    assert "annotations[4] is '7'; expected an object" in message
