"""The detector in PyTorch cuts images and has thresholds, as its config says."""

import cv2
import numpy as np

from vanillanet_det import load_detector
from vanillanet_det.checkpoints import Checkpoint
from vanillanet_det.inference.building import find_config
from vanillanet_det.inference.settings import DetectionSettings, set_settings
from vanillanet_det.runtime.tiles import Tiles, merge


def test_tiles_are_merged_and_classes_have_thresholds(detector_file, small_digits):
    paths = sorted((small_digits / "val").glob("*.png"))
    a, b, c, d = (cv2.imread(str(path)) for path in paths[:4])
    pixels = np.vstack([np.hstack([a, b]), np.hstack([c, d])])
    cfg = find_config(Checkpoint.read(detector_file), None)
    plain = load_detector(detector_file, score=0.0)
    everything = plain(pixels)
    limits = [float(np.median(everything.scores))] * 9 + [1.0]
    set_settings(cfg, DetectionSettings(tuple(limits), Tiles((160, 160))))
    whole = load_detector(detector_file, cfg, tiles=False)(pixels)
    assert len(whole) == (everything.scores >= np.float32(limits)[everything.labels]).sum()
    assert 0 < len(whole) < len(everything)
    cut = load_detector(detector_file, cfg, score=0.0)(pixels)
    windows = Tiles((160, 160)).windows(*pixels.shape[:2])
    assert len(windows) == 9
    parts = [plain(pixels[top:bottom, left:right]) for left, top, right, bottom in windows]
    expected = merge(parts, windows, pixels.shape[:2])
    np.testing.assert_allclose(cut.boxes, expected.boxes, atol=1e-3)
    assert 0 < len(cut) < sum(map(len, parts))
