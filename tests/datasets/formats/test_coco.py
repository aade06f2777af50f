"""COCO in the wild: image folders of all kinds, and annotations with missing keys."""

import numpy as np
import pytest
from data_folders import BOX, SIZE, content, found, remark, save_image, sizes, write
from pycocotools import mask

from vanillanet_det import UserError
from vanillanet_det.datasets.formats import read_dataset

OUTSIDE = "the path of an image outside the folder"


@pytest.mark.parametrize(
    ("json_file", "image"),
    [
        ("instances_train2017.json", "a.jpg"),
        ("annotations/instances_train2017.json", "a.jpg"),
        ("annotations/instances_train2017.json", "images/a.jpg"),
        ("annotations/instances_train2017.json", "train2017/a.jpg"),
        ("annotations/instances_train2017.json", "images/train2017/a.jpg"),
        ("labels.json", "data/a.jpg"),
        ("train.json", "train/a.jpg"),
    ],
)
@pytest.mark.parametrize("as_file", [True, False])
def test_images_are_found_where_the_first_ones_are(tmp_path, json_file, image, as_file):
    save_image(tmp_path / image)
    write(tmp_path / json_file, content("a.jpg"))

    source = read_dataset(tmp_path / json_file if as_file else tmp_path)

    ((name, *rest),) = found(source)
    assert (source.root / name).samefile(tmp_path / image)
    assert rest == ["cat", BOX]
    assert (source.format, source.val, source.classes) == ("COCO", None, ("cat",))


def test_official_layout(tmp_path):
    for split in ("train", "val"):
        save_image(tmp_path / f"{split}2017" / "0 ü.jpg")
        write(tmp_path / "annotations" / f"instances_{split}2017.json", content("0 ü.jpg"))
        write(tmp_path / "annotations" / f"captions_{split}2017.json", content("0 ü.jpg"))
    write(tmp_path / "annotations" / "image_info_test2017.json", content("0 ü.jpg"))

    source = read_dataset(tmp_path)

    assert source.root == tmp_path
    assert found(source) == [("train2017/0 ü.jpg", "cat", BOX)]
    assert found(source, "val") == [("val2017/0 ü.jpg", "cat", BOX)]
    assert "image_info_test2017.json" in remark(source, "The test split is skipped")


def test_roboflow_layout_and_its_placeholder(tmp_path):
    for split in ("train", "valid", "test"):
        save_image(tmp_path / split / "a.jpg")
        exported = content("a.jpg", "a.jpg")
        exported["categories"].insert(0, dict(id=0, name="animals", supercategory="none"))
        write(tmp_path / split / "_annotations.coco.json", exported)

    source = read_dataset(tmp_path)

    assert source.classes == ("cat", "dog")
    assert [c["id"] for c in source.val["categories"]] == [1, 2]
    assert found(source, "val")[0] == ("valid/a.jpg", "cat", BOX)
    assert remark(source, "Classes without objects") == (
        "Classes without objects, skipped: animals."
    )


def test_ids_are_kept_and_numbers_read(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        save_image(tmp_path / name)
    written = content("a.jpg", "b.jpg", ids=(17, 90), box=["5.5", "6", "20", "1e1"], area="12.5")
    written["annotations"][0]["segmentation"] = [["5.5", 6, 25.5, 6, "25.5", 16]]
    written["images"][0] |= dict(width="60", height="40.0")
    written["annotations"][1]["image_id"] = "2"
    write(tmp_path / "a.json", written)

    source = read_dataset(tmp_path)

    first, second = source.train["annotations"]
    assert [c["id"] for c in source.train["categories"]] == [17, 90]
    assert (first["category_id"], second["category_id"]) == (17, 90)
    assert (first["bbox"], first["area"]) == ([5.5, 6, 20, 10], 12.5)
    assert first["segmentation"] == [[5.5, 6, 25.5, 6, 25.5, 16]]
    assert source.train["images"][0]["width"] == 60
    assert second["image_id"] == 2


@pytest.mark.parametrize(("crowd", "read"), [(True, 1), (False, 0), ("1", 1), (1.0, 1), (None, 0)])
def test_crowds_are_marked_by_numbers_or_truths(tmp_path, crowd, read):
    save_image(tmp_path / "a.jpg")
    written = content("a.jpg", "a.jpg")
    written["annotations"][0]["iscrowd"] = crowd
    write(tmp_path / "a.json", written)
    annotation, _ = read_dataset(tmp_path).train["annotations"]
    assert annotation["iscrowd"] == read
    assert type(annotation["iscrowd"]) is int


def test_crowd_and_run_lengths_are_kept(tmp_path):
    save_image(tmp_path / "a.jpg")
    written = content("a.jpg", "a.jpg")
    pixels = np.zeros(SIZE[::-1], np.uint8)
    pixels[6:16, 5:25] = 1
    packed = mask.encode(np.asfortranarray(pixels))
    packed["counts"] = packed["counts"].decode()
    loose = dict(size=[40, 60], counts=[0, 40, 2360])
    crowd, plain = written["annotations"]
    crowd |= dict(iscrowd=1, segmentation=loose)
    plain |= dict(segmentation=packed, bbox=None, area=None)
    write(tmp_path / "a.json", written)

    crowd, plain = read_dataset(tmp_path).train["annotations"]

    assert (crowd["iscrowd"], crowd["segmentation"], crowd["area"]) == (1, loose, 200)
    assert (plain["segmentation"], plain["bbox"], plain["area"]) == (packed, [5, 6, 20, 10], 200)


def test_what_is_left_out_is_filled_in(tmp_path):
    save_image(tmp_path / "a.jpg", turned=True)
    save_image(tmp_path / "b.jpg")
    written = content("a.jpg", "b.jpg", area=0)
    del written["images"][0]["width"]
    polygon, box = written["annotations"]
    for key in ("bbox", "iscrowd", "id"):
        del polygon[key]
    polygon["segmentation"] = [5, 6, 25, 6, 25, 16]  # should be a list of lists
    write(tmp_path / "a.json", written)

    source = read_dataset(tmp_path)

    polygon, box = source.train["annotations"]
    assert (polygon["bbox"], polygon["area"], polygon["iscrowd"]) == ([5, 6, 20, 10], 100, 0)
    assert polygon["segmentation"] == [[5, 6, 25, 6, 25, 16]]
    assert box["area"] == 200
    assert polygon["id"] != box["id"]
    assert sizes(source)["a.jpg"] == SIZE[::-1]
    assert remark(source, "Missing or zero areas").endswith("(annotation None, annotation 2): 2.")


def test_validation_follows_the_ids_of_training(tmp_path):
    for split, ids in (("train", (1, 2)), ("val", (2, 1))):
        save_image(tmp_path / split / "a.jpg")
        write(tmp_path / f"{split}.json", content("a.jpg", "a.jpg", ids=ids))
    written = content("a.jpg", "a.jpg", ids=(2, 1))
    written["categories"].append(dict(id=2.0, name="bird"))
    write(tmp_path / "val.json", written)
    with pytest.raises(UserError, match=r"val\.json: several categories have the id 2"):
        read_dataset(tmp_path)
    written["categories"][2]["id"] = 3
    written["annotations"].append(written["annotations"][0] | dict(id=9, category_id=3))
    write(tmp_path / "val.json", written)

    source = read_dataset(tmp_path)

    assert [name for _, name, _ in found(source, "val")] == ["bird", "cat", "dog"]
    assert source.val["categories"] == source.train["categories"]
    assert source.val["annotations"][0]["category_id"] == 1
    assert remark(source, "Validation annotations remapped").endswith(": 2.")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda c: c["images"][0].update(file_name="../out.jpg"), r"'\.\./out\.jpg' isn't in any"),
        (lambda c: c["images"][0].update(file_name=OUTSIDE), r"'/.*out\.jpg' isn't in any of"),
        (lambda c: c["images"][0].pop("file_name"), r"image 1: has no 'file_name'"),
        (lambda c: c["images"][0].update(file_name="b.jpg"), r"'b.jpg' isn't in any of .*images"),
        (
            lambda c: c["annotations"][0].update(bbox=[1, 2, 3]),
            r"annotation 1: .* expected four numbers",
        ),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, 3, "x"]), r"'x' is not a finite number"),
        (
            lambda c: c["annotations"][0].update(bbox=[1, 2, 10**400, 4]),
            r"0 is not a finite number",
        ),
        (
            lambda c: c["annotations"][0].update(bbox=[1, 2, True, 4]),
            r"True is not a finite number",
        ),
        (
            lambda c: c["annotations"][0].update(area=10**400),
            r"annotation 1: .*not a finite number",
        ),
        (lambda c: c["annotations"][0].update(iscrowd="yes"), r"'yes' is not a finite number"),
        (lambda c: c["images"][0].update(id=[1]), r"an id is \[1\], expected an integer"),
        (lambda c: c["annotations"][0].update(image_id=7), r"annotation 1: its image_id 7"),
        (lambda c: c["annotations"][0].update(image_id={}), r"annotation 1: an id is \{\}"),
        (lambda c: c["annotations"][0].update(category_id=7), r"annotation 1: its category_id 7"),
        (
            lambda c: c["annotations"][0].update(segmentation=[[1] * 7]),
            r"odd number of coord",
        ),
        (lambda c: c["annotations"][0].update(bbox=[float("nan")] * 4), r"contains the number NaN"),
        (
            lambda c: (
                c["categories"][1].update(name="cat"),
                c["annotations"].append(dict(c["annotations"][0], category_id=2)),
            ),
            r"several categories have the name 'cat'",
        ),
        (lambda c: c["images"].append(c["images"][0]), r"several images have the id 1"),
        (lambda c: c.update(annotations=[]), r"none of the 1 training images .* has an object"),
        (lambda c: c.pop("categories"), r"no list categories"),
    ],
)
def test_mistakes_are_named(tmp_path, harm, message):
    save_image(tmp_path.parent / "out.jpg")
    save_image(tmp_path / "a.jpg")
    written = content("a.jpg")
    harm(written)
    if written["images"] and written["images"][0].get("file_name") is OUTSIDE:
        written["images"][0]["file_name"] = str(tmp_path.parent / "out.jpg")
    write(tmp_path / "a.json", written)
    with pytest.raises(UserError, match=rf"{tmp_path}.*{message}"):
        read_dataset(tmp_path)


def test_broken_json_is_named_with_its_line(tmp_path):
    write(tmp_path / "a.json", '{"images": [],\n"annotations": [}')
    with pytest.raises(UserError, match=r"a\.json:2: is not valid JSON"):
        read_dataset(tmp_path)


def test_which_file_must_be_clear(tmp_path):
    for name in ("one.json", "two.json"):
        write(tmp_path / name, content("a.jpg"))
    with pytest.raises(UserError, match=r"one\.json, two\.json could all be for train; pass"):
        read_dataset(tmp_path)


@pytest.mark.slow
def test_twenty_thousand_annotations_take_no_time(tmp_path, clock):
    for i in range(2_000):
        (tmp_path / f"{i}.jpg").touch()
    written = content(*(f"{i}.jpg" for i in range(2_000)))
    outline = [[5.5, 6.5] * 20]
    written["annotations"] = [
        dict(id=i, image_id=i % 2_000 + 1, category_id=1, bbox=BOX, area=9, segmentation=outline)
        for i in range(20_000)
    ]
    write(tmp_path / "a.json", written)
    with clock(3):
        assert len(read_dataset(tmp_path).train["annotations"]) == 20_000


def test_images_that_opencv_cannot_read_are_counted(tmp_path):
    save_image(tmp_path / "images/a.jpg")
    write(tmp_path / "train.json", content("a.jpg", "elsewhere/b.jpg"))
    write(tmp_path / "images/c.heic", "")
    source = read_dataset(tmp_path, skip_missing=True)
    assert remark(source, "Images that OpenCV") == (
        "Images that OpenCV can't read, skipped: 1 (c.heic)."
    )
