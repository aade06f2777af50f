"""Images and annotations are cut into tiles."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from vanillanet_det.datasets.formats import RawDataset
from vanillanet_det.datasets.formats.remarks import Skipped
from vanillanet_det.finetune.tiles import cut_dataset
from vanillanet_det.runtime.tiles import Tiles

HEIGHT, WIDTH = 100, 260
# x, y, width, height; the second is in two tiles, the last is a sliver in the second tile
BOXES = [(10, 20, 30, 20), (85, 40, 40, 30), (98, 5, 12, 30)]
TILES = Tiles((100, 100), 0.2)


def annotation(number, box, image_id=1, **more):
    x, y, w, h = box
    more.setdefault("segmentation", [[x, y, x + w, y, x + w, y + h, x, y + h]])
    return dict(
        id=number, image_id=image_id, category_id=1, bbox=list(box), area=w * h, iscrowd=0, **more
    )


def split(*names, boxes=BOXES):
    images = [dict(id=i, file_name=n, width=WIDTH, height=HEIGHT) for i, n in enumerate(names, 1)]
    annotations = [annotation(i, box) for i, box in enumerate(boxes, 1)]
    return dict(images=images, annotations=annotations, categories=[dict(id=1, name="a")])


@pytest.fixture
def source(tmp_path):
    pixels = np.random.RandomState(0).randint(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    for name in ("a.png", "sub/b.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), pixels)
    train, val = split("a.png", "sub/b.jpg"), split("a.png", boxes=BOXES[:1])
    return RawDataset("COCO", tmp_path, train, val, ("a",), (), Skipped(0, 0))


def cut(source, folder, masks=False):
    cut = cut_dataset(source, folder, TILES, masks)
    assert cut.root == folder
    for coco in (cut.train, cut.val):
        names = [image["file_name"] for image in coco["images"]]
        assert len(set(names)) == len(names)
        assert len({image["id"] for image in coco["images"]}) == len(names)
        for image in coco["images"]:
            pixels = cv2.imread(str(folder / image["file_name"]))
            assert pixels.shape == (image["height"], image["width"], 3)
    return cut


def test_tiles_show_the_same_pixels_and_objects(source, tmp_path):
    train = cut(source, tmp_path / "tiles").train
    whole = cv2.imread(str(tmp_path / "a.png"))
    left = {}
    for image in train["images"]:
        number, x, y, _ = Path(image["file_name"]).name.split("-")
        if number == "000000":
            left[image["id"]] = int(x)
            tile = cv2.imread(str(tmp_path / "tiles" / image["file_name"]))
            np.testing.assert_array_equal(tile, whole[int(y) :, int(x) : int(x) + 100])
    found = sorted(
        (a["bbox"][0] + left[a["image_id"]], *a["bbox"][1:]) for a in train["annotations"]
    )
    # Tiles start at 0, 80 and 160.
    sliver = (98, 5, 2, 30)
    assert found == [(10, 20, 30, 20), (85, 40, 15, 30), (85, 40, 40, 30), sliver, (98, 5, 12, 30)]
    assert [a["iscrowd"] for a in train["annotations"] if a["bbox"][2:] == [2, 30]] == [1]
    assert all("segmentation" not in a for a in train["annotations"])


def test_what_is_left_out_is_counted(source, tmp_path):
    remarks = " ".join(cut(source, tmp_path / "tiles").remarks)
    assert "train: 2 images were cut into 6 tiles of up to 100 x 100" in remarks
    assert "train: tiles without objects, left out: 2" in remarks  # 4 of 6 have none
    assert "less than 25 % is in the tile, neither learned nor counted: 1" in remarks
    assert "train: objects larger than what two tiles share: 2" in remarks
    assert "val: tiles without objects, left out: 1" in remarks


def test_masks_are_cut_with_their_boxes(source, tmp_path):
    train = cut(source, tmp_path / "tiles", masks=True).train
    sizes = {image["id"]: (image["height"], image["width"]) for image in train["images"]}
    for part in train["annotations"]:
        mask = coco_mask.decode(part["segmentation"])
        assert mask.shape == sizes[part["image_id"]]
        x, y, w, h = map(round, part["bbox"])
        expected = np.zeros_like(mask)
        expected[y : y + h, x : x + w] = 1
        np.testing.assert_array_equal(mask, expected)
        assert part["area"] == w * h


def test_names_stay_in_the_folder(source, tmp_path):
    source.train["images"][0]["file_name"] = f"../{tmp_path.name}/a.png"
    folder = tmp_path / "deep" / "tiles"
    names = [image["file_name"] for image in cut(source, folder).train["images"]]
    assert all((folder / name).resolve().is_relative_to(folder.resolve()) for name in names)
