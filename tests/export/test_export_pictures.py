"""Pictures to calibrate with are those of the training, and of nothing else beside them."""

import json

import pytest
from mmengine.config import Config
from PIL import Image

from vanillanet_det import UserError
from vanillanet_det.export import pictures
from vanillanet_det.export.pictures import calibration_pictures, pictures_to_compare

pytestmark = pytest.mark.usefixtures("mmdet_scope")
SIDES = dict(train=(11, 13, 17), val=(19, 23), unlisted=(29,))


@pytest.fixture
def cfg(small_config, tmp_path):
    """Config of a data set in one folder, with a picture besides, each of a size of its own."""
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
    assert sides(calibration_pictures(None, cfg, 300)) == [11, 13, 17]
    assert sides(calibration_pictures(None, cfg, 2)) == [11, 17]
    assert {19, 23} <= {*sides(pictures_to_compare(None, cfg))}
    assert not {11, 13, 17, 29} & {*sides(pictures_to_compare(None, cfg))}


def test_a_folder_of_ones_own(cfg, tmp_path):
    assert sides(calibration_pictures(str(tmp_path), cfg, 300)) == sorted(sum(SIDES.values(), ()))


def test_no_pictures(cfg, tmp_path):
    (tmp_path / "train.json").unlink()
    with pytest.raises(UserError, match=r"train_dataloader aren't there.*--calibration DIR"):
        calibration_pictures(None, cfg, 300)
    (tmp_path / "train.json").write_text("[]")
    with pytest.raises(UserError, match=r"train\.json: can't be read \(.*tools/check_data\.py"):
        calibration_pictures(None, cfg, 300)


def test_pycocotools_keeps_quiet(cfg, capsys):
    calibration_pictures(None, cfg, 300)
    assert pictures.DATASETS.build(cfg.train_dataloader.dataset.to_dict())
    assert "loading annotations" in capsys.readouterr().out  # of this line, so it would
    calibration_pictures(None, cfg, 300)
    assert not capsys.readouterr().out
