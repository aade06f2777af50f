"""Calibration images are the training images, and no other files beside them."""

import copy
import json

import pytest
from mmengine.config import Config
from PIL import Image

from vanillanet_det import UserError
from vanillanet_det.export import image_sets
from vanillanet_det.export.image_sets import load_calibration_images, load_verification_images

pytestmark = pytest.mark.usefixtures("mmdet_scope")
SIDES = dict(train=(11, 13, 17), val=(19, 23), unlisted=(29,))


@pytest.fixture
def cfg(small_config, tmp_path):
    """Config of a dataset in one folder with an unlisted image; each image has its own size."""
    cfg = Config.fromfile(small_config)
    for split, sides in SIDES.items():
        images = [dict(id=side, file_name=f"{side}.png", width=side, height=side) for side in sides]
        for image in images:
            Image.new("RGB", (image["width"], image["height"])).save(tmp_path / image["file_name"])
        boxes = [
            dict(id=i + 1, image_id=image["id"], category_id=1, bbox=[1, 1, 5, 5], area=25)
            for i, image in enumerate(images)
        ]
        content = dict(images=images, annotations=boxes, categories=[dict(id=1, name="0")])
        (tmp_path / f"{split}.json").write_text(json.dumps(content))
    for key, split in (("train_dataloader", "train"), ("test_dataloader", "val")):
        changes = dict(data_root="", ann_file=f"{tmp_path}/{split}.json")
        cfg[key].dataset.update(changes, data_prefix=dict(img=f"{tmp_path}/"))
    return cfg


def sides(images):
    return sorted(image.shape[0] for image in images)


def test_a_folder_that_is_shared(cfg):
    assert sides(load_calibration_images(None, cfg, 300)) == [11, 13, 17]
    assert sides(load_calibration_images(None, cfg, 2)) == [11, 17]


@pytest.mark.parametrize(
    ("missing", "expected"),
    [((), [19, 23]), (("test",), [11]), (("test", "val"), [11, 13, 17])],
)
def test_verification_images_are_those_of_the_user(cfg, missing, expected):
    cfg.val_dataloader = copy.deepcopy(cfg.train_dataloader)
    cfg.val_dataloader.dataset.indices = [0]
    for split in missing:
        cfg[f"{split}_dataloader"].dataset.ann_file = "gone.json"
    assert sides(load_verification_images(None, cfg)) == expected


def test_embedded_images_are_the_last_choice(cfg):
    for split in ("test", "val", "train"):
        cfg[f"{split}_dataloader"].dataset.ann_file = "gone.json"
    assert sides(load_verification_images(None, cfg)) == [160, 160, 160, 160, 427, 427]


def test_a_folder_of_images(cfg, tmp_path):
    assert sides(load_calibration_images(str(tmp_path), cfg, 300)) == sorted(
        sum(SIDES.values(), ())
    )


def test_no_images(cfg, tmp_path):
    (tmp_path / "train.json").unlink()
    with pytest.raises(UserError, match=r"train_dataloader don't exist.*--calibration DIR"):
        load_calibration_images(None, cfg, 300)
    (tmp_path / "train.json").write_text("[]")
    with pytest.raises(
        UserError, match=r"train\.json: can't be read \(.*vanillanet-det check-data"
    ):
        load_calibration_images(None, cfg, 300)


def test_pycocotools_keeps_quiet(cfg, capsys):
    load_calibration_images(None, cfg, 300)
    assert image_sets.DATASETS.build(cfg.train_dataloader.dataset.to_dict())
    assert "loading annotations" in capsys.readouterr().out  # from this line, so it does print
    load_calibration_images(None, cfg, 300)
    assert not capsys.readouterr().out
