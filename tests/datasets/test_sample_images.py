"""Images go through the config's test pipeline."""

from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from vanillanet_det import UserError
from vanillanet_det.datasets import sample_images as images


@pytest.fixture
def cfg(root, mmdet_scope):
    return Config.fromfile(root / "configs/retinanet_vanillanet11_coco.py")


def shapes(batches):
    return [[tuple(x.shape) for x in batch["inputs"]] for batch in batches]


def test_the_embedded_photographs_are_resized_as_the_config_says(cfg):
    batches = images.make_batches(images.find_images(), images.evaluation_pipeline(cfg), 1)
    assert shapes(batches) == [[(3, 800, 1199)]] * 2
    assert batches[0]["data_samples"][0].scale_factor == pytest.approx((1.873, 1.874), abs=1e-3)


def test_a_size_of_ones_own(cfg):
    pipeline = images.evaluation_pipeline(cfg, (96, 128))
    assert shapes(images.make_batches(images.find_images(), pipeline, 1)) == [[(3, 96, 128)]] * 2
    # The config itself stays as it was.
    assert shapes(
        images.make_batches(images.find_images(), images.evaluation_pipeline(cfg), 1)
    ) != [[(3, 96, 128)]]


def test_batches_hold_every_image_and_are_filled_up(cfg, tmp_path):
    for index in range(3):
        Image.fromarray(np.full((20, 30, 3), (index, 0, 0), np.uint8)).save(
            tmp_path / f"{index}.png"
        )
    (tmp_path / "notes.txt").write_text("no image")
    pipeline = images.evaluation_pipeline(cfg, (32, 32))
    batches = images.make_batches(images.find_images(tmp_path), pipeline, 2)
    # The third channel is red: pipelines read BGR.
    reds = [[int(x[2, 0, 0]) for x in batch["inputs"]] for batch in batches]
    assert reds == [[0, 1], [2, 0]]


def test_of_many_images_some_from_all_over(tmp_path):
    for index in range(images.MAX_IMAGES * 2 + 1):
        (tmp_path / f"{index:03}.png").touch()
    names = [Path(found["img_path"]).name for found in images.find_images(tmp_path)]
    assert names == [f"{index:03}.png" for index in range(0, images.MAX_IMAGES * 2 + 1, 3)]


def test_images_that_opencv_cannot_read_are_named(tmp_path, log):
    (tmp_path / "b.HEIC").touch()
    with pytest.raises(UserError, match=r"contains no images, only b\.HEIC, which OpenCV can't"):
        images.find_images(tmp_path)
    (tmp_path / "a.JFIF").touch()
    assert [Path(found["img_path"]).name for found in images.find_images(tmp_path)] == ["a.JFIF"]
    (record,) = log.records
    assert "skipped 1 images that OpenCV can't read (b.HEIC)" in record.message


def test_images_that_are_not_there(tmp_path):
    with pytest.raises(UserError, match=r"--images .*: contains no images; expected .jpg"):
        images.find_images(tmp_path)
    with pytest.raises(UserError, match="there is no such folder"):
        images.find_images(tmp_path / "elsewhere")


@pytest.mark.parametrize("loader", ["LoadReadableImage", "LoadImageFromFile"])
def test_a_image_that_cannot_be_read_is_named(cfg, tmp_path, loader):
    (tmp_path / "broken.jpg").write_text("no image")
    cfg.test_dataloader.dataset.pipeline[0].type = loader
    with pytest.raises(UserError, match=r"broken.jpg: (can't be read|.* pipeline failed)"):
        images.make_batches(images.find_images(tmp_path), images.evaluation_pipeline(cfg), 1)


def test_a_pipeline_that_cannot_be_used(cfg):
    pipeline = cfg.test_dataloader.dataset.pipeline
    resize = next(transform for transform in pipeline if transform.type == "Resize")
    pipeline.remove(resize)
    with pytest.raises(UserError, match=r"--input-size: .* has 0 Resize"):
        images.evaluation_pipeline(cfg, (32, 32))
    pipeline.clear()
    with pytest.raises(UserError, match="pipeline should begin with LoadImageFromFile"):
        images.evaluation_pipeline(cfg)
