"""Small detectors that find boxes, and files made of them."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from vanillanet_det.export.description import describe
from vanillanet_det.export.exporting import ENDINGS, Exporter, Plan
from vanillanet_det.inference.building import build_detector


@pytest.fixture(scope="session")
def pictures(small_digits):
    """Pictures that the detectors find boxes in."""
    return [cv2.imread(str(path)) for path in sorted((small_digits / "val").glob("*.png"))]


@pytest.fixture(scope="session")
def build(detector_file, save_detector, tmp_path_factory):
    """Function that builds a fused detector of `save_detector`'s, its config and its classes."""
    files = {"retinanet": detector_file}

    def make(kind="retinanet"):
        if kind not in files:
            files[kind] = save_detector(tmp_path_factory.mktemp(kind) / "epoch_3.pth", kind)
        return build_detector(files[kind])

    return make


@pytest.fixture(scope="session")
def make_exporter(build):
    """Function that makes an `Exporter` of one of the detectors."""

    def make(kind="retinanet", **plan):
        model, cfg, classes = build(kind)
        part = plan.get("part", "detector")
        return Exporter(model, describe(cfg, model, classes, part), Plan(**plan))

    return make


@pytest.fixture(scope="session")
def write_once(make_exporter, pictures, tmp_path_factory):
    """Function that writes a file, once for the same arguments; exporting takes a while."""
    written, exporters = {}, {}

    def write(kind="retinanet", precision="fp32", format="onnx", **plan) -> Path:
        which = kind, tuple(sorted(plan.items()))
        key = precision, format, *which
        if key not in written:
            written[key] = tmp_path_factory.mktemp("exported") / f"detector{ENDINGS[format]}"
            exporter = exporters.setdefault(which, make_exporter(kind, **plan))
            exporter.write(written[key], precision, pictures)
        return written[key]

    return write


@pytest.fixture
def resized(pictures):
    """Function that makes a batch of a size."""

    def make(count, height, width):
        return np.stack([cv2.resize(image, (width, height)) for image in pictures[:count]])

    return make
