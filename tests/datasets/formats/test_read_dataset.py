"""A dataset's format is detected, and its images are measured without decoding."""

import os

import mmcv
import pytest
from data_folders import SIZE, found, save_image, write

from vanillanet_det import UserError
from vanillanet_det.datasets.formats import read_dataset
from vanillanet_det.datasets.formats.files import split_named
from vanillanet_det.datasets.formats.images import image_size

LINE = "0 0.5 0.5 0.5 0.5\n"


def yolo(root, *names):
    for name in names:
        write((root / "labels" / name).with_suffix(".txt"), LINE)
    write(root / "data.yaml", "train: images\nnames: [cat]\n")
    return root


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
@pytest.mark.parametrize("turned", [False, True])
def test_size_is_what_training_loads(tmp_path, suffix, turned):
    path = save_image(tmp_path / f"a.{suffix}", turned=turned)
    assert image_size(path) == mmcv.imfrombytes(path.read_bytes()).shape[1::-1]


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("CMYK", "jpg"), ("P", "png"), ("I;16", "png"), ("L", "bmp"), ("LA", "png"), ("1", "tif")],
)
def test_images_of_any_kind(tmp_path, mode, suffix):
    save_image(tmp_path / "images" / f"à b.{suffix}", mode=mode)
    assert found(read_dataset(yolo(tmp_path, "à b.txt"))) == [
        (f"à b.{suffix}", "cat", [15, 10, 30, 20])
    ]


def test_only_the_header_is_read(tmp_path):
    path = save_image(tmp_path / "images/a.png")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert image_size(path) == SIZE


def test_an_unreadable_image_is_named(tmp_path):
    write(tmp_path / "images/a.jpg", "no image")
    with pytest.raises(UserError, match=r"Images that can't be read \(a\.jpg\): 1; add or replace"):
        read_dataset(yolo(tmp_path, "a.jpg"))


def test_hidden_files_and_links_to_folders_above_are_passed_over(tmp_path):
    save_image(tmp_path / "images/a.jpg")
    write(tmp_path / "images/._a.jpg", "of a Mac")
    save_image(tmp_path / "images/__MACOSX/b.jpg")
    os.symlink(tmp_path, tmp_path / "images/loop")
    assert len(read_dataset(yolo(tmp_path, "a.jpg")).train["images"]) == 1


def test_folders_that_are_links_are_followed(tmp_path):
    save_image(tmp_path / "elsewhere/a.jpg")
    yolo(tmp_path / "data", "a.jpg")
    os.symlink(tmp_path / "elsewhere", tmp_path / "data/images")
    assert len(read_dataset(tmp_path / "data").train["images"]) == 1


def test_of_two_formats_one_is_read_and_the_other_named(tmp_path):
    save_image(tmp_path / "images/a.jpg")
    write(tmp_path / "instances.json", {"images": [], "annotations": [], "categories": []})
    source = read_dataset(yolo(tmp_path, "a.jpg"))
    assert source.format == "YOLO"
    assert source.remarks[-1] == "The folder also looks like COCO; it is read as YOLO."


def test_an_unknown_format_is_answered_with_the_known_ones(tmp_path):
    save_image(tmp_path / "a.jpg")
    with pytest.raises(UserError) as error:
        read_dataset(tmp_path)
    for part in ("COCO (", "YOLO (", "Pascal VOC (", "LabelMe (", "Found 1 files (.jpg)", "a.jpg"):
        assert part in str(error.value)


def test_a_data_set_in_a_folder_below_is_pointed_at(tmp_path):
    yolo(tmp_path / "inner", "a.jpg")
    with pytest.raises(UserError, match=r"There is a dataset in inner; pass that folder"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone", r"gone: neither a file nor a folder"),
        ("a.csv", r"a\.csv: neither an annotation file"),
        ("a.json", r"a\.json: neither an annotation file"),
    ],
)
def test_what_is_no_folder(tmp_path, name, message):
    if name != "gone":
        write(tmp_path / name, "{}")
    with pytest.raises(UserError, match=message):
        read_dataset(tmp_path / name)


def test_text_that_is_not_utf8_is_named_with_its_line(tmp_path):
    save_image(tmp_path / "images/a.jpg")
    yolo(tmp_path)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.txt").write_bytes(LINE.encode() + "é".encode("latin-1"))
    with pytest.raises(UserError, match=r"labels/a\.txt:2: is not UTF-8 text"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("instances_train2017", "train"),
        ("Validation", "val"),
        ("valid", "val"),
        ("training-set", "train"),
        ("test", "test"),
        ("trains", None),
        ("interval", None),
    ],
)
def test_names_of_splits(name, split):
    assert split_named(name) == split


def test_files_of_other_tools_do_not_hide_a_format(tmp_path):
    write_voc = "<annotation><object><name>cat</name><bndbox><xmin>2</xmin><ymin>2</ymin>"
    save_image(tmp_path / "a.jpg")
    write(
        tmp_path / "a.xml",
        f"{write_voc}<xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>",
    )
    write(tmp_path / "classes.txt", "cat\n")
    write(tmp_path / "mkdocs.yml", "---\na: !tag 1\n---\nb: 2\n")
    (tmp_path / "gone.json").symlink_to(tmp_path / "nowhere")
    assert read_dataset(tmp_path).format == "Pascal VOC"
