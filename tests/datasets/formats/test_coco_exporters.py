"""COCO of other tools: foreign folders, unused categories, rotated boxes, other tasks."""

import json

import pytest
from data_folders import BOX, content, found, remark, save_image, write

from vanillanet_det import UserError
from vanillanet_det.datasets.formats import read_dataset


def standard(root, *names, folder="images", **changes):
    for name in names:
        save_image(root / folder / name)
    written = content(*names)
    written["annotations"][0].update(changes)
    write(root / "result.json", written)
    return written


@pytest.mark.parametrize(
    "prefix", ["images\\1/", "/data/upload/3/", "C:\\me\\images\\", "../old/images/", "s3:/b/x/"]
)
def test_names_with_folders_that_are_not_there(tmp_path, prefix):
    written = standard(tmp_path, "a.png", "b.png")
    for image in written["images"]:
        image["file_name"] = prefix + image["file_name"]
    write(tmp_path / "result.json", written)
    source = read_dataset(tmp_path)
    for (name, *rest), base, label in zip(found(source), ("a.png", "b.png"), ("cat", "dog")):
        assert (source.root / name).samefile(tmp_path / "images" / base)
        assert rest == [label, BOX]
    text = remark(source, "File names whose first folders don't exist, matched by the rest (")
    assert f"({prefix}a.png as " in text
    assert text.endswith("b.png): 2.")


def test_folders_that_tell_images_apart_are_kept(tmp_path):
    written = standard(tmp_path, "cam1/0.png", "cam2/0.png")
    for image in written["images"]:
        image["file_name"] = "/home/me/" + image["file_name"]
    write(tmp_path / "result.json", written)
    assert [name for name, *_ in found(read_dataset(tmp_path))] == ["cam1/0.png", "cam2/0.png"]
    for path in (tmp_path / "images").glob("*/0.png"):
        path.rename(tmp_path / "images/0.png")
    with pytest.raises(UserError, match=r"none of its 2 images is there: '/home/me/cam1/0\.png'"):
        read_dataset(tmp_path)


def test_missing_images_are_counted_and_can_be_left_out(tmp_path):
    names = [f"{i:02}.png" for i in range(24)]
    standard(tmp_path, *names)
    for name in names[:5]:
        (tmp_path / "images" / name).unlink()
    with pytest.raises(UserError) as caught:
        read_dataset(tmp_path)
    assert str(caught.value) == (
        f"COCO dataset in {tmp_path}/images: Images that don't exist (00.png, 01.png, 02.png and 2 "
        "more): 5; add or replace these files, or pass --skip-missing to leave them out"
    )
    source = read_dataset(tmp_path, skip_missing=True)
    assert len(source.train["images"]) == len(source.train["annotations"]) == 19
    assert source.skipped == (5, 5)


def test_an_image_without_a_size_that_cannot_be_read_is_counted(tmp_path):
    written = standard(tmp_path, "a.png", "b.png")
    del written["images"][1]["width"]
    write(tmp_path / "result.json", written)
    write(tmp_path / "images/b.png", "no image")
    with pytest.raises(UserError, match=r"Images that can't be read \(b\.png\): 1"):
        read_dataset(tmp_path)
    assert read_dataset(tmp_path, skip_missing=True).skipped == (1, 1)


@pytest.mark.parametrize("place", [0, 2])
def test_an_unused_category_with_the_name_of_a_class(tmp_path, place):
    written = standard(tmp_path, "a.png", "b.png")
    written["categories"].insert(place, dict(id=0, name="cat", supercategory="none"))
    write(tmp_path / "result.json", written)
    source = read_dataset(tmp_path)
    assert source.classes == ("cat", "dog")
    assert found(source) == [("a.png", "cat", BOX), ("b.png", "dog", BOX)]
    assert "(cat with id 0): 1." in remark(source, "Categories without annotations that have")


def test_two_unused_categories_of_one_name(tmp_path):
    written = standard(tmp_path, "a.png", "b.png")
    written["categories"] += [dict(id=7, name="bird"), dict(id=8, name="bird")]
    write(tmp_path / "result.json", written)
    assert read_dataset(tmp_path).classes == ("cat", "dog")


def test_boxes_that_cvat_rotates(tmp_path):
    standard(tmp_path, "a.png", bbox=[10, 10, 20, 10], attributes=dict(rotation=45.0, occluded=1))
    source = read_dataset(tmp_path)
    (annotation,) = source.train["annotations"]
    side = 30 / 2**0.5
    assert annotation["bbox"] == pytest.approx([20 - side / 2, 15 - side / 2, side, side])
    assert annotation["area"] == 200
    assert "segmentation" not in annotation
    assert annotation["attributes"] == dict(occluded=1)  # else it would be rotated twice
    assert remark(source, "Rotated boxes").endswith("(annotation 1): 1.")


@pytest.mark.parametrize(
    ("outline", "expected"),
    [
        ([10, 10, 30, 10, 30, 20, 10, 20], [25, 5, 25, 25, 15, 25, 15, 5]),  # the box itself
        ([15, 5, 25, 5, 25, 25, 15, 25], [15, 5, 25, 5, 25, 25, 15, 25]),
    ],
)
def test_outlines_of_rotated_boxes(tmp_path, outline, expected):
    changes = dict(bbox=[10, 10, 20, 10], segmentation=[outline], attributes=dict(rotation=90))
    standard(tmp_path, "a.png", **changes)
    (annotation,) = read_dataset(tmp_path).train["annotations"]
    assert annotation["bbox"] == pytest.approx([15, 5, 10, 20])
    assert annotation["segmentation"][0] == pytest.approx(expected)


@pytest.mark.parametrize("attributes", [{}, None, [], dict(rotation=0), dict(rotation=360.0)])
def test_boxes_that_are_not_rotated(tmp_path, attributes):
    standard(tmp_path, "a.png", attributes=attributes)
    assert found(read_dataset(tmp_path)) == [("a.png", "cat", BOX)]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            dict(segments_info=[], file_name="a.png"),
            r"annotations\[0\] has panoptic segments, but no bbox",
        ),
        (dict(caption="A cat."), r"annotations\[0\] has captions, but no bbox"),
        (dict(keypoints=[1, 2, 2]), r"annotations\[0\] has keypoints, but no bbox"),
    ],
)
def test_files_of_other_tasks_are_named(tmp_path, entry, message):
    written = standard(tmp_path, "a.png")
    written["annotations"] = [dict(id=1, image_id=1, category_id=1, **entry)]
    write(tmp_path / "result.json", written)
    with pytest.raises(UserError, match=message):
        read_dataset(tmp_path)


@pytest.mark.parametrize("text", ["", '{"images": [', "[]", '{"images": {}}'])
def test_a_broken_validation_file_is_not_passed_over(tmp_path, text):
    for split in ("train", "val"):
        save_image(tmp_path / split / "a.png")
        write(tmp_path / f"annotations/instances_{split}.json", content("a.png"))
    write(tmp_path / "annotations/instances_val.json", text)
    with pytest.raises(UserError, match=r"instances_val\.json"):
        read_dataset(tmp_path)


def test_files_that_are_not_used_are_named(tmp_path):
    standard(tmp_path, "a.png")
    (tmp_path / "result.json").rename(tmp_path / "train.json")
    for name in ("more.json", "captions_train.json", "a/b/c/instances_val.json"):
        write(tmp_path / name, content("a.png"))
    write(tmp_path / "instances_train.json", content("a.png"))
    source = read_dataset(tmp_path)
    assert remark(source, "Other JSON files, skipped").endswith("and 1 more): 4.")


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (dict(size=[0, 0], counts=[]), r"annotation 1: its segmentation has the size \[0, 0\]"),
        (dict(size=[4], counts=[4]), r"has the size \[4\], expected \[height, width\]"),
        (dict(size=[40, 60], counts=[-1, 2401]), r"counts aren't COCO's RLE"),
        (dict(size=[40, 60], counts=[10, 20]), r"counts add up to 30, expected 40 x 60"),
        (dict(size=[40, 60], counts="猫"), r"counts aren't COCO's RLE"),
        (dict(size=[40, 1 << 70], counts="a"), r"expected \[height, width\]"),
    ],
)
def test_masks_that_cannot_be_read_are_named(tmp_path, mask, message):
    standard(tmp_path, "a.png", bbox=None, segmentation=mask)
    with pytest.raises(UserError, match=message):
        read_dataset(tmp_path)


def test_a_file_that_is_nested_too_deeply_is_named(tmp_path):
    written = standard(tmp_path, "a.png")
    text = json.dumps(written)[:-1] + ', "x": ' + "[" * 200_000
    write(tmp_path / "result.json", text)
    with pytest.raises(UserError, match=r"result\.json: is nested too deeply"):
        read_dataset(tmp_path)
