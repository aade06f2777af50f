"""Images of YOLO: paths of other machines and tools, and images that are missing."""

from pathlib import Path

import pytest
from data_folders import found, remark, save_image, write

from vanillanet_det import UserError
from vanillanet_det.datasets.formats import read_dataset

LINE = "0 0.5 0.5 0.5 0.25\n"


def standard(root, *files, yaml="path: .\ntrain: train.txt\n", lines=None):
    for file in files:
        save_image(root / "images" / file)
        write((root / "labels" / file).with_suffix(".txt"), LINE)
    write(root / "data.yaml", f"{yaml}names: [cat]\n")
    if lines is not None:
        write(root / "train.txt", "".join(f"{line}\n" for line in lines))
    return root


def files(source, split="train"):
    return [name for name, *_ in found(source, split)]


@pytest.mark.parametrize(
    "prefix",
    ["data/", "/home/me/project/", "C:\\data\\", "../old/", "/My Drive/x/", "\\\\nas\\x\\"],
)
def test_lists_with_folders_of_another_machine(tmp_path, prefix):
    names = ["train/a.png", "train/cam 1/b.png"]
    standard(tmp_path, *names, lines=[f"{prefix}images/{name}" for name in names])
    source = read_dataset(tmp_path)
    assert files(source) == ["a.png", "cam 1/b.png"]
    text = remark(source, "Paths whose first folders don't exist, matched by the rest")
    assert f"{prefix}images/train/a.png as images/train/a.png" in text
    assert text.endswith(": 2.")


def test_images_of_one_name_are_not_mistaken_for_each_other(tmp_path):
    standard(tmp_path, "train/a.png", "train/b.png", lines=["/x/cam1/b.png", "/x/cam2/b.png"])
    with pytest.raises(UserError, match=r"cam1/b\.png"):
        read_dataset(tmp_path)
    lines = ["images/train/a.png", "/x/one/images/train/a.png", "/x/one/images/train/b.png"]
    standard(tmp_path, lines=lines)
    with pytest.raises(UserError, match=r"train\.txt:2: no image '/x/one/.* where a\.png is"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("prefix", ["/kaggle/input/", "D:\\sets\\mine\\", "/home/a/", "old/"])
def test_data_yaml_with_folders_of_another_machine(tmp_path, prefix):
    yaml = f"train: {prefix}images/train\nval: {prefix}images/val\n"
    standard(tmp_path, "train/a.png", "val/b.png", yaml=yaml)
    source = read_dataset(tmp_path)
    assert (files(source), files(source, "val")) == (["train/a.png"], ["val/b.png"])
    assert "images/val as images/val" in remark(source, "Paths whose first folders don't exist")


def test_one_folder_is_not_taken_for_two_splits(tmp_path):
    yaml = "train: /a/train/images\nval: /a/valid/images\n"
    with pytest.raises(UserError, match=r"/a/valid/images is neither a folder nor a list"):
        read_dataset(standard(tmp_path, "a.png", yaml=yaml))


def test_a_path_without_a_home_is_no_traceback(tmp_path):
    source = read_dataset(standard(tmp_path, "a.png", yaml="path: ~nobody/x\ntrain: images\n"))
    assert files(source) == ["a.png"]


def test_missing_images_are_counted_and_can_be_left_out(tmp_path):
    names = [f"train/{i}.png" for i in range(6)]
    standard(tmp_path, *names, lines=[f"images/{name}" for name in names])
    for name in names[1:]:
        (tmp_path / "images" / name).unlink()
    with pytest.raises(UserError) as caught:
        read_dataset(tmp_path)
    for part in (
        "Listed images that don't exist (train.txt:2: images/train/1.png, train.txt:3: ",
        "and 2 more): 5",
        "--skip-missing",
    ):
        assert part in str(caught.value)
    source = read_dataset(tmp_path, skip_missing=True)
    assert files(source) == ["0.png"]
    assert source.skipped == (5, 5)
    assert remark(source, "Listed images that don't exist, skipped").endswith(": 5.")


def test_unreadable_images_are_counted_and_can_be_left_out(tmp_path):
    standard(tmp_path, "a.png", "b.png", "c.png", yaml="train: images\n")
    for name in "bc":
        write(tmp_path / f"images/{name}.png", "no image")
    with pytest.raises(UserError, match=r"Images that can't be read \(b\.png, c\.png\): 2; add or"):
        read_dataset(tmp_path)
    source = read_dataset(tmp_path, skip_missing=True)
    assert (files(source), source.skipped) == (["a.png"], (2, 2))


def test_labels_of_a_folder_without_images_are_counted(tmp_path):
    standard(tmp_path, "train/a.png")
    (tmp_path / "data.yaml").unlink()
    write(tmp_path / "classes.txt", "cat\n")
    write(tmp_path / "labels/val/b.txt", LINE * 3)
    source = read_dataset(tmp_path)
    assert remark(source, "Label files without an image, skipped").endswith("(b.txt): 1.")
    assert source.skipped == (0, 3)


def roboflow(root, *splits):
    for split in splits:
        save_image(root / split / "images" / f"{root.name}.png")
        write(root / split / "labels" / f"{root.name}.txt", LINE)
    return root


def test_a_data_set_next_to_roboflow_s_is_not_read(tmp_path):
    roboflow(tmp_path, "train", "valid")
    ds = roboflow(tmp_path / "ds", "train", "valid")
    yaml = "train: ../train/images\nval: ../valid/images\nnames: [cat]\n"
    source = read_dataset(write(ds / "data.yaml", yaml))
    assert files(source) == ["train/images/ds.png"]
    assert files(source, "val") == ["valid/images/ds.png"]
    assert not any("outside" in text for text in source.remarks)


def test_folders_outside_the_data_folder_are_reported(tmp_path):
    roboflow(tmp_path, "train")
    yaml = "train: ../train/images\nnames: [cat]\n"
    source = read_dataset(write(tmp_path / "ds/data.yaml", yaml))
    text = f"Folders and lists outside the data folder ({tmp_path / 'train/images'}): 1."
    assert text in source.remarks


@pytest.mark.parametrize("same", ["images/train", "./images/train/", "[images/train]", "train.txt"])
def test_the_same_images_for_two_splits(tmp_path, same):
    yaml = f"train: images/train\nval: {same}\n"
    lines = ["images/train/a.png"]
    source = read_dataset(standard(tmp_path, "train/a.png", yaml=yaml, lines=lines))
    assert (files(source), source.val) == (["a.png"], None)
    assert "data.yaml has the same images for train and val; val is ignored." in source.remarks


def test_test_images_may_be_those_of_validation(tmp_path):
    yaml = "train: images/train\nval: images/val\ntest: images/val\n"
    source = read_dataset(standard(tmp_path, "train/a.png", "val/b.png", yaml=yaml))
    assert (files(source), files(source, "val")) == (["train/a.png"], ["val/b.png"])
    assert "data.yaml has the same images for val and test; test is ignored." in source.remarks
    assert source.skipped == (0, 0)


@pytest.mark.parametrize(
    ("train", "val", "a", "b"),
    [("images", "images/val", "a", "b"), ("images/val", "images", "b", "a")],
)
def test_the_inner_folder_says_the_split(tmp_path, train, val, a, b):
    yaml = f"train: {train}\nval: {val}\n"
    source = read_dataset(standard(tmp_path, "a.png", "val/b.png", yaml=yaml))
    names = [[Path(name).stem for name in files(source, split)] for split in ("train", "val")]
    assert names == [[a], [b]]
    assert remark(source, "Images in the folders of two splits").endswith("(b.png): 1.")


def test_an_image_in_lists_of_two_splits_is_refused(tmp_path):
    lines = ["images/a.png", "images/b.png"]
    standard(tmp_path, "a.png", "b.png", yaml="train: train.txt\nval: val.txt\n", lines=lines)
    write(tmp_path / "val.txt", "images/b.png\n")
    with pytest.raises(UserError, match=r"data\.yaml: .*b\.png is in train and in val; list it"):
        read_dataset(tmp_path)
