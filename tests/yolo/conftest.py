"""Ultralytics without a network, without usage events, and with settings of its own."""

import os
import tempfile

import pytest

# Read when Ultralytics is imported.
os.environ.setdefault("YOLO_OFFLINE", "true")
os.environ.setdefault("YOLO_AUTOINSTALL", "false")
os.environ.setdefault("YOLO_CONFIG_DIR", tempfile.mkdtemp(prefix="ultralytics"))

NARROW = "[ch, {dims: [16, 32, 64, 128], strides: [2, 2, 2]}]"


@pytest.fixture(scope="session")
def narrow(tmp_path_factory):
    """YAMLs of networks with few channels, by task."""
    from vanillanet_det.yolo.registration import MODELS

    folder = tmp_path_factory.mktemp("yamls")
    for task in ("", "-seg"):
        text = (MODELS / f"yolo11-vanillanet5{task}.yaml").read_text()
        for old, new in (
            ("[ch, vanillanet_5]", NARROW),
            ("[1024, 0]", "[32, 0]"),
            ("[2048, 1]", "[64, 1]"),
            ("[4096, 2]", "[128, 2]"),
            ("n: [0.50, 0.25, 1024]", "n: [0.33, 0.125, 1024]"),
        ):
            assert old in text
            text = text.replace(old, new)
        (folder / f"yolo11n-narrow{task}.yaml").write_text(text)
    return {
        task: folder / f"yolo11n-narrow{end}.yaml"
        for task, end in (("detect", ""), ("segment", "-seg"))
    }
