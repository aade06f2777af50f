"""Training with tiles, and what comes of it."""

import json

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from vanillanet_det import UserError, load_detector
from vanillanet_det.inference.building import build_detector
from vanillanet_det.inference.settings import find_settings
from vanillanet_det.runtime.tiles import Tiles

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("finetune")]
SIDE = 160  # pixels of an image of the example


@pytest.fixture(scope="module")
def large(example, tmp_path_factory):
    """A YOLO folder in which four images of the example are one."""
    folder = tmp_path_factory.mktemp("large")
    for split in ("train", "val"):
        images = sorted((example / "images" / split).iterdir())[:4]
        for part in ("images", "labels"):
            (folder / part / split).mkdir(parents=True)
        pixels, rows = np.zeros((2 * SIDE, 2 * SIDE, 3), np.uint8), []
        for index, path in enumerate(images):
            top, left = divmod(index, 2)
            pixels[top * SIDE :, left * SIDE :][:SIDE, :SIDE] = cv2.imread(str(path))
            for line in (example / "labels" / split / f"{path.stem}.txt").read_text().splitlines():
                label, x, y, *sides = map(float, line.split())
                box = (x + left) / 2, (y + top) / 2, *(side / 2 for side in sides)
                rows.append(f"{label:.0f} " + " ".join(map(str, box)))
        cv2.imwrite(str(folder / "images" / split / "a.png"), pixels)
        (folder / "labels" / split / "a.txt").write_text("\n".join(rows))
    (folder / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [even, odd]\n")
    return folder


@pytest.fixture(scope="module")
def finished(tool, large, weights, tmp_path_factory):
    where = tmp_path_factory.mktemp("work")
    options = ("--weights", weights, "--augment", "none", "--batch-size", "4", "--epochs", "1")
    assert tool("finetune", large, "--tiles", "160", *options, "--work-dir", where) == 0
    return where


def test_training_sees_tiles_and_the_report_whole_images(finished):
    cfg = Config.fromfile(finished / "config/finetune.py")
    train = json.loads((finished / "annotations/train.json").read_text())
    uncut = json.loads((finished / "annotations/val_uncut.json").read_text())
    assert {(image["width"], image["height"]) for image in train["images"]} == {(SIDE, SIDE)}
    assert len(train["images"]) == 9
    assert [image["width"] for image in uncut["images"]] == [2 * SIDE]
    assert cfg.train_dataloader.dataset.data_prefix.img == str(finished / "tiles")
    assert cfg.val_dataloader.dataset.pipeline[1].scale == (SIDE, SIDE)
    report = (finished / "report.html").read_text()
    assert "160 x 160 pixels" in report
    assert "a.png" in report


def test_the_detector_cuts_images_by_itself(finished, large):
    _, cfg, classes = build_detector(finished / "deployed.pth")
    settings = find_settings(cfg, classes)
    assert settings.tiles == Tiles((SIDE, SIDE))
    assert len(settings.class_scores) == 2
    detector = load_detector(finished / "deployed.pth")
    assert detector.tiles == Tiles((SIDE, SIDE))
    assert detector.score == list(settings.class_scores)
    assert load_detector(finished / "deployed.pth", tiles=False).tiles is None
    shapes = []
    detector.model.backbone.register_forward_pre_hook(
        lambda _, args: shapes.append(args[0].shape[2:])
    )
    assert detector(large / "images/val/a.png").size == (2 * SIDE, 2 * SIDE)
    assert {tuple(shape) for shape in shapes} == {(SIDE, SIDE)}
    cfg.detection.class_scores = [0.5]
    with pytest.raises(UserError, match=r"class_scores is \[0\.5\]"):
        load_detector(finished / "deployed.pth", cfg)


def test_resuming_keeps_the_tiles(finished, tool, large, capsys):
    options = ("--resume", "--epochs", "2", "--work-dir", finished)
    assert tool("finetune", large, *options) == 0
    assert "val_uncut.json" in capsys.readouterr().out
    assert tool("finetune", large, *options, "--tiles", "96") == 2
    assert "omit --tiles" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("DATA", "--tiles", "8"), "--tiles 8: tiles of 8 x 8"),
        (("DATA", "--tiles", "160x"), "'160x' is no size such as 640"),
        (("--tiles", "DATA"), "pass DATA before --tiles"),
    ],
)
def test_sizes_that_are_none(tool, large, tmp_path, capsys, arguments, message):
    arguments = [large if argument == "DATA" else argument for argument in arguments]
    assert tool("finetune", *arguments, "--work-dir", tmp_path) == 2
    assert message in capsys.readouterr().err
