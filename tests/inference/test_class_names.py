"""Names of detections, if the config and the checkpoint list the classes differently."""

import pytest
from mmengine.config import Config

from vanillanet_det import load_detector


@pytest.mark.parametrize("is_warned", [False, True])
def test_detections_have_the_checkpoints_names(detector_file, small_config, log, is_warned):
    cfg = Config.fromfile(small_config)
    classes = tuple("9876543210" if is_warned else "0123456789")
    cfg.test_dataloader.dataset.metainfo = dict(classes=classes)
    detector = load_detector(detector_file, cfg, device="cpu")
    assert detector.classes == tuple("0123456789")
    said = "its classes are 0, 1, 2, 3, 4 and 5 more, but the config's are 9, 8, 7, 6, 5 and 5 more"
    assert (said in log.text) == is_warned
