"""YOLO in the wild: layouts, boxes and polygons, and invalid lines."""

import os

import pytest
from data_folders import SIZE, found, remark, save_image, sizes, write

from vanillanet_det import UserError
from vanillanet_det.datasets.formats import read_dataset

NAMES = "names: [cat, dog]\n"
LINE = "1 0.5 0.5 0.5 0.25\n"
BOX = [15, 15, 30, 10]  # the same in pixels


def standard(root, line=LINE, yaml="train: images/train\n", name="a b.jpg"):
    save_image(root / "images/train" / name)
    write((root / "labels/train" / name).with_suffix(".txt"), line)
    write(root / "data.yaml", yaml + NAMES)
    return root


@pytest.mark.parametrize("yaml", ["names: [cat, dog]", "names: {0: cat, 1: dog}\nnc: 2"])
@pytest.mark.parametrize("as_file", [True, False])
def test_names_are_a_list_or_numbered(tmp_path, yaml, as_file):
    standard(tmp_path, name="ä b.jpg")
    save_image(tmp_path / "images/val/c.PNG")
    write(tmp_path / "labels/val/c.txt", "0 0.5 0.5 1 1\n")
    path = write(tmp_path / "data.yaml", f"train: images/train\nval: images/val\n{yaml}\n")

    source = read_dataset(path if as_file else tmp_path)

    assert (source.format, source.classes) == ("YOLO", ("cat", "dog"))
    assert (source.root, source.remarks[1:]) == (tmp_path / "images", ())
    assert found(source) == [("train/ä b.jpg", "dog", BOX)]
    assert found(source, "val") == [("val/c.PNG", "cat", [0, 0, *SIZE])]
    assert [c["id"] for c in source.train["categories"]] == [1, 2]


def test_without_val_there_is_none_and_a_missing_test_split_is_no_matter(tmp_path):
    source = read_dataset(standard(tmp_path, yaml="train: images/train\ntest: images/test\n"))
    assert source.val is None


def test_polygons_and_boxes_mixed(tmp_path):
    polygon = "0 0.1 0.1 0.9 0.1 0.5 0.7\n"
    source = read_dataset(standard(tmp_path, LINE + "\n" + polygon))

    box, outline = source.train["annotations"]
    assert "segmentation" not in box
    assert outline["segmentation"] == [[6, 4, 54, 4, 30, 28]]
    assert (outline["bbox"], outline["area"]) == ([6, 4, 48, 24], 576)


@pytest.mark.parametrize(
    "train",
    [
        "[images/train, images/more]",
        "lists/train.txt",
        "images",
        "../images",  # of Roboflow
    ],
)
def test_train_is_a_folder_folders_or_a_list(tmp_path, train):
    standard(tmp_path, yaml=f"train: {train}\n")
    save_image(tmp_path / "images/more/c d.jpg")
    write(tmp_path / "lists/train.txt", "./images/train/a b.jpg\n\nimages/more/c d.jpg\n")
    source = read_dataset(tmp_path)
    assert found(source) == [("train/a b.jpg", "dog", BOX), "more/c d.jpg"]
    assert remark(source, "Images without a label file").endswith(": 1.")


def test_path_is_where_it_says_or_where_the_file_is(tmp_path, monkeypatch):
    standard(tmp_path / "data", yaml="path: data\ntrain: images/train\n")
    monkeypatch.chdir(tmp_path)
    assert not any("has path" in text for text in read_dataset("data").remarks)
    standard(tmp_path / "data", yaml="path: /gone\ntrain: images/train\n")
    assert remark(read_dataset("data"), "data.yaml has path /gone, which lacks its images")


def test_images_without_objects_and_labels_without_images(tmp_path):
    standard(tmp_path)
    save_image(tmp_path / "images/train/none.jpg")
    save_image(tmp_path / "images/train/empty.jpg")
    write(tmp_path / "labels/train/empty.txt", "\n")
    write(tmp_path / "labels/train/alone.txt", LINE)

    source = read_dataset(tmp_path)

    assert found(source)[1:] == ["empty.jpg", "none.jpg"]
    assert remark(source, "Images without a label file").endswith(": 1.")
    assert remark(source, "Label files without an image").endswith(": 1.")


@pytest.mark.parametrize("folder", ["", "labels"])
def test_classes_txt_stands_for_data_yaml(tmp_path, folder):
    standard(tmp_path)
    save_image(tmp_path / "images/val/b.jpg")
    (tmp_path / "data.yaml").unlink()
    with pytest.raises(UserError, match=r"neither data\.yaml nor classes\.txt lists the classes"):
        read_dataset(tmp_path)
    write(tmp_path / folder / "classes.txt", "cat\ndog\n")
    source = read_dataset(tmp_path)
    assert found(source) == [("train/a b.jpg", "dog", BOX)]
    assert found(source, "val") == ["val/b.jpg"]


def test_labels_beside_the_images(tmp_path):
    save_image(tmp_path / "a.jpg")
    write(tmp_path / "a.txt", LINE)
    write(tmp_path / "classes.txt", "cat\ndog\n")
    assert found(read_dataset(tmp_path)) == [("a.jpg", "dog", BOX)]


@pytest.mark.parametrize("split", ["", "Train/"])
@pytest.mark.parametrize("name", ["classes.txt", "Classes.txt"])
def test_names_of_folders_and_lists_in_any_case(tmp_path, split, name):
    save_image(tmp_path / f"{split}Images/a.jpg")
    write(tmp_path / f"{split}Labels/a.txt", LINE)
    write(tmp_path / f"{split}Labels/alone.txt", LINE)
    write(tmp_path / name, "cat\ndog\n")
    source = read_dataset(tmp_path)
    assert [object[1:] for object in found(source)] == [("dog", BOX)]
    assert remark(source, "Label files without an image").endswith("(alone.txt): 1.")


@pytest.mark.parametrize("classes", [True, False])
def test_notes_of_label_studio_aren_t_coco(tmp_path, classes):
    standard(tmp_path)
    write(tmp_path / "notes.json", dict(categories=[dict(id=0, name="cat")], info={}))
    if classes:
        (tmp_path / "data.yaml").unlink()
        write(tmp_path / "classes.txt", "cat\ndog\n")
    source = read_dataset(tmp_path)
    assert source.format == "YOLO"
    assert not any("COCO" in text for text in source.remarks)


def test_only_labels_beside_flat_images_are_counted(tmp_path):
    save_image(tmp_path / "a.jpg")
    for name, text in dict(a=LINE, alone=LINE, README="Two cats\nOne dog\n").items():
        write(tmp_path / f"{name}.txt", text)
    write(tmp_path / "classes.txt", "cat\ndog\n")
    (tmp_path / "latin.txt").write_bytes("Käse\n".encode("latin-1"))
    source = read_dataset(tmp_path)
    assert remark(source, "Label files without an image").endswith("(alone.txt): 1.")
    assert source.skipped == (0, 1)


@pytest.mark.parametrize("yaml", [True, False])
def test_a_label_file_of_two_images_is_refused(tmp_path, yaml):
    standard(tmp_path)
    save_image(tmp_path / "images/train/a b.png", seed=1)
    if not yaml:
        (tmp_path / "data.yaml").unlink()
        write(tmp_path / "classes.txt", "cat\ndog\n")
    with pytest.raises(UserError, match=r"a b\.txt: labels both a b\.jpg and a b\.png; keep only"):
        read_dataset(tmp_path)


def test_the_last_images_of_a_path_is_replaced(tmp_path):
    source = read_dataset(standard(tmp_path / "images" / "of cats"))
    assert found(source) == [("a b.jpg", "dog", BOX)]


def test_unused_classes_are_left_out(tmp_path):
    source = read_dataset(standard(tmp_path))
    assert source.classes == ("dog",)
    assert source.train["annotations"][0]["category_id"] == 1
    assert remark(source, "Classes without objects") == ("Classes without objects, skipped: cat.")


def test_numbers_a_little_outside_are_clipped(tmp_path):
    source = read_dataset(standard(tmp_path, "1 0.1 0.5 0.2005 1.0005\n"))
    assert found(source)[0][2] == pytest.approx([0, 0, 0.20025 * 60, 40], abs=1e-3)
    assert remark(source, "Coordinates outside 0..1 by at most 0.001").endswith(": 1.")


def test_boxes_of_poses_are_read(tmp_path):
    standard(tmp_path, LINE.strip() + " 0.1 0.1 0.2 0.2\n", "kpt_shape: [2, 2]\ntrain: images\n")
    assert found(read_dataset(tmp_path)) == [("a b.jpg", "dog", BOX)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 0.5 0.5 0.5\n", r"a b\.txt:2: 3 values after the class, expected class cx cy"),
        ("1 0.5 0.5 0.5 0.5 0.9\n", r"a b\.txt:2: 5 values .* if the last value is a score"),
        ("2 0.5 0.5 0.5 0.5\n", r"a b\.txt:2: class is 2, expected an integer from 0 to 1"),
        ("0.5 0.5 0.5 0.5 0.5\n", r"a b\.txt:2: class is 0\.5, expected"),
        ("cat 0.5 0.5 0.5 0.5\n", r"a b\.txt:2: class is cat, expected"),
        ("1 30 20 10 10\n", r"a b\.txt:2: 30 is outside 0\.\.1; .* divided by the width"),
        ("1 0.5 0.5 0.5 nan\n", r"a b\.txt:2: nan is outside"),
        ("1 0.5 0,5 0.5 0.5\n", r"a b\.txt:2: not all of 0\.5 0,5 .* are numbers"),
    ],
)
def test_wrong_lines_are_named(tmp_path, line, message):
    with pytest.raises(UserError, match=rf"{tmp_path}/labels/train/{message}"):
        read_dataset(standard(tmp_path, LINE + line))


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("train: images/train\nnc: 3\n", r"nc is 3 but names has 2 classes"),
        ("val: images/train\n", r"no entry train"),
        ("train: images/train\nval: images/val\n", r"images/val is neither a folder nor a list"),
        ("train: [\n", r":\d: is not valid YAML"),
    ],
)
def test_wrong_data_yaml_is_named(tmp_path, yaml, message):
    with pytest.raises(UserError, match=rf"{tmp_path}/data\.yaml.*{message}"):
        read_dataset(standard(tmp_path, yaml=yaml))


@pytest.mark.parametrize("name", ["../b.jpg", "/b.jpg", "images/../../b.jpg"])
def test_lists_don_t_leave_the_folder(tmp_path, name):
    save_image(tmp_path / "b.jpg")
    standard(tmp_path / "data", yaml="train: list.txt\n")
    write(tmp_path / "data/list.txt", f"images/train/a b.jpg\n{name}\n")
    with pytest.raises(UserError, match=r"list\.txt:2: '.*b\.jpg' is outside the data folder"):
        read_dataset(tmp_path / "data")


def test_displayed_size_of_a_turned_image(tmp_path):
    standard(tmp_path)
    save_image(tmp_path / "images/train/a b.jpg", turned=True)
    source = read_dataset(tmp_path)
    assert sizes(source) == {"a b.jpg": SIZE[::-1]}
    assert found(source)[0][2] == [10, 22.5, 20, 15]


def test_twenty_thousand_objects_take_no_time(tmp_path, clock):
    standard(tmp_path, LINE * 5)
    for i in range(400):
        os.link(tmp_path / "images/train/a b.jpg", tmp_path / f"images/train/{i}.jpg")
        write(tmp_path / f"labels/train/{i}.txt", LINE * 50)
    with clock(3):
        assert len(read_dataset(tmp_path).train["annotations"]) == 20_005


def test_labels_beside_the_images_are_read_too(tmp_path):
    standard(tmp_path)
    for name in ("b.JPG", "c.jpg"):
        save_image(tmp_path / "images/train" / name)
    write(tmp_path / "images/train/b.TXT", LINE)
    write(tmp_path / "images/train/notes.txt", "taken in Mai")
    write(tmp_path / "labels/train/c.Txt", LINE)
    source = read_dataset(tmp_path)
    assert found(source) == [(name, "dog", BOX) for name in ("a b.jpg", "b.JPG", "c.jpg")]
    assert source.remarks[2:] == (
        "Label files found beside their images instead of in the folder labels (b.TXT): 1.",
    )


@pytest.mark.parametrize("second", ["images/train/a b.txt", "labels/train/a b.TXT"])
def test_two_label_files_of_an_image_must_agree(tmp_path, second):
    write(standard(tmp_path) / second, LINE.replace("\n", "\r\n"))
    assert found(read_dataset(tmp_path)) == [("a b.jpg", "dog", BOX)]
    write(tmp_path / second, "")
    with pytest.raises(UserError, match=r"(?i)a b\.txt: differs from .*a b\.txt, "):
        read_dataset(tmp_path)


def test_images_that_opencv_cannot_read_are_counted(tmp_path):
    standard(tmp_path)
    for name in ("b.HEIC", "c.dng", "README.md", "d.mp4"):
        write(tmp_path / "images/train" / name, "")
    assert read_dataset(tmp_path).remarks[2:] == (
        "Images that OpenCV can't read, skipped: 2 (b.HEIC, c.dng).",
    )
    (tmp_path / "images/train/a b.jpg").unlink()
    with pytest.raises(UserError, match=r"train: has no images that OpenCV can read, only b\.HEIC"):
        read_dataset(tmp_path)
