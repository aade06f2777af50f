"""Image folders: their splits and classes, and what no network could learn."""

import shutil

import numpy as np
import pytest
from PIL import Image

from vanillanet_det import UserError
from vanillanet_det.datasets.classification import ClassificationDataset, read_image
from vanillanet_det.pretraining.data import read_data, unreadable


def test_splits_and_classes(folder):
    data, remarks = read_data(str(folder(train=dict(b=2, a=1, c10=1, c9=1), validation=dict(b=3))))
    assert data.classes == ("a", "b", "c9", "c10")
    assert (data.train.counts, data.val.counts) == ((1, 2, 1, 1), (0, 3, 0, 0))
    assert (data.train.total, data.val.total) == (5, 3)
    (remark,) = remarks
    assert "class 'a' (and 2 more like it) is in train but not in validation" in remark


def test_a_class_has_its_number_in_both_splits(folder):
    """timm numbers the classes of each folder for itself."""
    root = folder(train=dict(a=1, b=1, c=1), val=dict(c=2))
    data, _ = read_data(str(root))
    transform = dict(input_size=8)
    dataset = ClassificationDataset(data.val.root, data.val.name, data.classes, transform)
    assert {dataset[index]["targets"] for index in range(2)} == {2}


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({}, r"has no folder train or training; expected the layout of ImageNet: DATA/train/CLASS"),
        (dict(train=dict(a=1, b=1)), "has no folder val or validation or valid or test"),
        (dict(train={}, val=dict(a=1)), "Found 0 images"),
        (dict(train=dict(a=1, b=0), val=dict(a=1)), r"train/b has no images \(\.bmp, "),
        (dict(train={"a": 1, ".b": 1}, val=dict(a=1)), r"train/\.b would be a class; remove it"),
        (dict(train=dict(a=2), val=dict(a=1)), r"have 1 class, 'a'; expected at least two"),
        (
            dict(train=dict(a=1, b=1), val=dict(a=1, d=1, e=1)),
            r"class 'd' \(and 1 more like it\) is in val but not in train, so it can't be learned",
        ),
    ],
)
def test_what_cannot_be_learned_is_one_sentence(folder, splits, message):
    with pytest.raises(UserError, match=message):
        read_data(str(folder(**splits)))


def test_images_outside_of_classes_and_below_them(folder):
    root = folder(train=dict(a=1, b=1), val=dict(a=1, b=1))
    shutil.copy(root / "train/a/0.png", root / "train/0.png")
    with pytest.raises(UserError, match=r"train/0\.png is not in the folder of a class"):
        read_data(str(root))
    (root / "train/0.png").unlink()
    (root / "train/a/deeper").mkdir()
    with pytest.raises(UserError, match="train/a/deeper is a folder within that of a class"):
        read_data(str(root))


def test_every_kind_of_image_is_read_and_other_files_are_counted(folder):
    root = folder(train=dict(a=1, b=1), val=dict(a=1, b=1))
    pixels = np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(pixels).save(root / "train/a/deep.png")
    Image.new("P", (4, 4)).save(root / "train/a/palette.gif")
    Image.new("CMYK", (4, 4)).save(root / "train/b/print.tif")
    Image.new("L", (4, 4)).save(root / "train/b/gray.BMP")
    (root / "train/b/notes.txt").touch()
    data, (remark,) = read_data(str(root))
    assert data.train.counts == (3, 3)
    assert remark == f"1 files are not used: {root}/train/b/notes.txt"
    dataset = ClassificationDataset(data.train.root, "train", data.classes, dict(input_size=16))
    image, _ = read_image(dataset.images, 1)
    assert np.asarray(image)[..., 0].tolist() == (pixels >> 8).tolist()
    assert all(dataset[index]["inputs"].shape == (3, 16, 16) for index in range(6))


def test_no_folder():
    with pytest.raises(UserError, match="dataset nowhere: is no folder; expected the layout"):
        read_data("nowhere")


def test_unreadable_images_are_named_and_not_replaced(folder):
    root = folder(train=dict(a=2, b=2), val=dict(a=1, b=1))
    (root / "train/b/1.png").write_bytes(b"no image")
    shutil.copy(root / "train/a/0.png", root / "val/b/9.png")
    (root / "val/b/9.png").write_bytes((root / "val/b/9.png").read_bytes()[:40])
    data, _ = read_data(str(root))
    first, second = unreadable(data)
    assert f"image {root}/train/b/1.png: can't be read" in first
    assert f"image {root}/val/b/9.png: can't be read" in second
    dataset = ClassificationDataset(data.train.root, "train", data.classes, dict(input_size=8))
    with pytest.raises(UserError, match=r"b/1\.png: can't be read"):
        dataset[3]


def test_random_transforms_depend_on_seed_epoch_and_image_alone(digit_images):
    transform = dict(input_size=32, is_training=True, auto_augment="rand-m7-mstd0.5-inc1")
    data, _ = read_data(str(digit_images))

    def draw(index, seed=0, epoch=0):
        dataset = ClassificationDataset(
            data.train.root, "train", data.classes, transform, seed=seed
        )
        dataset.epoch = epoch
        return dataset[index]["inputs"]

    assert draw(3).equal(draw(3))
    assert not draw(3).equal(draw(4))
    assert not draw(3).equal(draw(3, seed=1))
    assert not draw(3).equal(draw(3, epoch=1))
