"""Files that an earlier version wrote are still read, and old imports still work.

The files in `data/compatibility` were written before the modules moved to `models/` and
`engine/`: `finetune.py` and `epoch_1.pth` by a fine-tuning (the weights were replaced by ones
that find boxes), `deployed.pth` is fused from the latter, `detector.onnx` exported from the fused
one. `detections.json` holds what they found in `scene.png`.
"""

import importlib
import json
from pathlib import Path

import pytest
from mmdet.registry import HOOKS, METRICS, MODELS
from mmengine.config import Config
from numpy.testing import assert_allclose

from vanillanet_det import load_detector
from vanillanet_det.runtime import Detector

FOLDER = Path(__file__).parent / "data" / "compatibility"
SCORE = 0.05


def check_detections(detector):
    expected = json.loads((FOLDER / "detections.json").read_text())
    assert detector.classes == ("even", "odd")
    found = detector(FOLDER / "scene.png")
    assert found.labels.tolist() == expected["labels"]
    assert_allclose(found.scores, expected["scores"], atol=1e-4)
    assert_allclose(found.boxes, expected["boxes"], atol=0.01)


@pytest.mark.parametrize("name", ["epoch_1.pth", "deployed.pth"])
def test_a_checkpoint_finds_the_same_boxes(name):
    check_detections(load_detector(FOLDER / name, score=SCORE))


def test_an_exported_file_finds_the_same_boxes():
    check_detections(Detector(FOLDER / "detector.onnx", score=SCORE))


def test_a_config_of_a_fine_tuning_builds(mmdet_scope):
    cfg = Config.fromfile(FOLDER / "finetune.py")  # follows its custom_imports
    assert cfg.finetune["classes"] == "even, odd"
    assert MODELS.build(cfg.model).bbox_head.num_classes == 2
    assert all(HOOKS.get(hook.type) for hook in cfg.default_hooks.values())
    assert METRICS.get(cfg.val_evaluator.type)
    assert MODELS.get(cfg.tta_model.type)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("vanillanet_det.tta", "MaskTTAModel"),
        ("vanillanet_det.data_preprocessors", "RawPixelPreprocessor"),
        ("vanillanet_det.data_preprocessors", "fold_normalization"),
    ],
)
def test_old_imports_work(module, name):
    assert hasattr(importlib.import_module(module), name)
