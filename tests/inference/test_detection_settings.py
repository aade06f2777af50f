"""Score thresholds of classes and tiles in a config."""

import pytest
from mmengine.config import Config

from vanillanet_det import UserError
from vanillanet_det.inference.settings import DetectionSettings, find_settings, set_settings
from vanillanet_det.runtime.tiles import Tiles

CLASSES = ("a b", "c")


@pytest.mark.parametrize(
    "settings",
    [
        DetectionSettings(),
        DetectionSettings((0.25, 1.0)),
        DetectionSettings(tiles=Tiles((640, 512), 0.3)),
        DetectionSettings((0.0, 0.5), Tiles((64, 64))),
    ],
)
def test_what_is_written_is_read(settings):
    cfg = Config(dict(model=dict(type="A")))
    set_settings(cfg, settings)
    assert find_settings(Config.fromstring(cfg.pretty_text, ".py"), CLASSES) == settings


def test_configs_without_settings():
    assert find_settings(Config(dict(model=dict(type="A"))), CLASSES) == DetectionSettings()


@pytest.mark.parametrize(
    ("detection", "message"),
    [
        (dict(class_scores=[0.5]), r"class_scores is \[0\.5\]; expected .* each of the 2 classes"),
        (dict(class_scores=[0.5, 1.5]), r"class_scores is"),
        (dict(class_scores=["0.5", 0.5]), r"class_scores is"),
        (dict(class_scores=[True, 0.5]), r"class_scores is"),
        (dict(class_scores=0.5), r"class_scores is 0\.5; expected"),
        (dict(tiles=640), r"tiles is 640; expected"),
        (dict(tiles=dict(size=(640,))), r"tiles is"),
        (dict(tiles=dict(size=(640.5, 640))), r"tiles is"),
        (dict(tiles=dict(size=(64, 64, 64))), r"tiles is"),
        ([0.5], r"detection is \[0\.5\]; expected a dict"),
        (dict(tiles=dict(size=64, overlap=2)), r"tiles is \{.*\}; expected size, height and width"),
        (dict(tiles=dict(side=640)), r"tiles is"),
        (dict(tiles=dict(size=[8, 8])), r"tiles is"),
    ],
)
def test_invalid_settings(detection, message):
    with pytest.raises(UserError, match=message):
        find_settings(Config(dict(detection=detection)), CLASSES)
