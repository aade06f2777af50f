"""Darknet in the wild: CVAT's export, lists of another machine, and labels apart from images."""

import pytest
from data_folders import found, remark, save_image, write

from vanillanet_det import UserError
from vanillanet_det.datasets.formats import read_dataset

LINE = "1 0.5 0.5 0.5 0.5\n"
BOX = [15, 10, 30, 20]
DATA = "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n"


def cvat(root, *names, data=DATA, listed=None, folder="obj_train_data"):
    """Write CVAT's "YOLO 1.1"."""
    for index, name in enumerate(names):
        save_image(root / folder / f"{name}.jpg", seed=index)
        write(root / folder / f"{name}.txt", LINE)
    write(root / "obj.data", data)
    write(root / "obj.names", "cat\ndog\n")
    lines = listed or [f"data/{folder}/{name}.jpg" for name in names]
    write(root / "train.txt", "\n".join(lines) + "\n")
    return root


def test_cvat_export(tmp_path):
    source = read_dataset(cvat(tmp_path, "a", "b"))
    assert (source.format, source.root, source.classes) == ("Darknet", tmp_path, ("dog",))
    assert found(source) == [(f"obj_train_data/{name}.jpg", "dog", BOX) for name in "ab"]
    assert source.val is None
    assert source.remarks[1:] == ("Classes without objects, skipped: cat.",)


def test_validation_and_test_lists(tmp_path):
    data = DATA + "valid = data/valid.txt\ntest = data/test.txt\neval = coco\n"
    cvat(tmp_path, "a", data=data)
    for index, name in enumerate(("valid", "test")):
        save_image(tmp_path / f"obj_{name}_data/{name}.jpg", seed=index + 1)
        write(tmp_path / f"obj_{name}_data/{name}.txt", LINE)
        write(tmp_path / f"{name}.txt", f"data/obj_{name}_data/{name}.jpg")
    source = read_dataset(tmp_path)
    assert found(source, "val") == [("obj_valid_data/valid.jpg", "dog", BOX)]
    assert remark(source, "Images of the test split").endswith(": 1.")
    assert source.skipped == (1, 0)


@pytest.mark.parametrize(
    "line", ["/home/me/darknet/data/obj/a.jpg", "C:\\darknet\\data\\obj\\a.jpg", "./obj/a.jpg"]
)
def test_lists_of_another_machine(tmp_path, line):
    cvat(tmp_path / "data", "a", listed=[line], folder="obj")
    assert found(read_dataset(tmp_path)) == [("data/obj/a.jpg", "dog", BOX)]
    assert found(read_dataset(tmp_path / "data")) == [("obj/a.jpg", "dog", BOX)]


def test_labels_in_a_folder_of_their_own(tmp_path):
    cvat(tmp_path, "a", folder="images")
    write(tmp_path / "labels/a.txt", LINE * 2)
    with pytest.raises(UserError, match=r"images/a\.jpg has two label files, images/a\.txt, lab"):
        read_dataset(tmp_path)
    (tmp_path / "images/a.txt").unlink()
    source = read_dataset(tmp_path)
    assert source.format == "Darknet"
    assert len(source.train["annotations"]) == 2


def test_what_is_left_out_is_counted(tmp_path):
    cvat(tmp_path, "a", "b", "c", listed=["a.jpg", "obj_train_data/a.jpg"] * 2)
    save_image(tmp_path / "obj_train_data/d.jpg", seed=9)
    write(tmp_path / "obj_train_data/lost.txt", LINE * 3)
    cvat(tmp_path, "a", listed=["obj_train_data/a.jpg"] * 2 + ["obj_train_data/d.jpg"])
    source = read_dataset(tmp_path)
    assert found(source) == [("obj_train_data/a.jpg", "dog", BOX), "obj_train_data/d.jpg"]
    assert remark(source, "Images listed more than once").endswith("a.jpg): 1.")
    assert remark(source, "Images that aren't listed").endswith("b.jpg, obj_train_data/c.jpg): 2.")
    assert remark(source, "Images without a label file").endswith("d.jpg): 1.")
    assert remark(source, "Label files without an image").endswith("lost.txt): 1.")
    assert source.skipped == (2, 3)


def test_images_that_are_missing_are_counted(tmp_path):
    cvat(tmp_path, "a", listed=[f"data/obj_train_data/{name}.jpg" for name in "abcdef"])
    write(tmp_path / "obj_train_data/b.txt", LINE * 2)
    with pytest.raises(UserError, match=r"Listed images that are missing \(.*/b\.jpg, .*: 5; add"):
        read_dataset(tmp_path)
    source = read_dataset(tmp_path, skip_missing=True)
    assert (len(source.train["images"]), source.skipped.images) == (1, 5)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("obj.data", "names = obj.names\n", r"obj\.data: train is '', which isn't below"),
        ("obj.data", "train = a.txt\nnames = obj.names", r"train is 'a\.txt', which isn't below"),
        ("obj.data", "train = train.txt", r"names is '', .*such as names = obj\.names"),
        ("obj.data", DATA.replace("2", "3"), r"classes is 3 but obj\.names has 2 names; correct"),
        ("obj.names", "cat\n\ndog\n", r"classes is 2 but obj\.names has 3 names"),
        ("obj.names", "cat\n\n", r"classes is 2 but obj\.names has 1 names"),
        ("obj.names", "cat\ncat\n", r"obj\.names: the class 'cat' is listed twice"),
        ("obj.names", "\n", r"obj\.names: lists no classes"),
        ("obj_train_data/a.txt", "7 0.5 0.5 0.5 0.5", r"obj_train_data/a\.txt:1: class is 7"),
        (
            "more.data",
            "train = train.txt",
            r"several \.data files of Darknet \(more\.data, obj\.data\)",
        ),
    ],
)
def test_files_that_are_wrong(tmp_path, file, text, message):
    cvat(tmp_path, "a")
    write(tmp_path / file, text)
    with pytest.raises(UserError, match=message):
        read_dataset(tmp_path)


def test_an_image_in_two_lists(tmp_path):
    cvat(tmp_path, "a", data=DATA + "valid = valid.txt\n")
    write(tmp_path / "valid.txt", "\nobj_train_data/a.jpg\n")
    with pytest.raises(UserError, match=r"valid\.txt:2: .* is also in train\.txt; list it only"):
        read_dataset(tmp_path)
