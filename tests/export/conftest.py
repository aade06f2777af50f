"""Small detectors that find boxes, and files exported from them."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from vanillanet_det.export.file_metadata import make_metadata
from vanillanet_det.inference.building import build_detector


@pytest.fixture(scope="session")
def images(small_digits):
    """Images in which the detectors find boxes."""
    return [cv2.imread(str(path)) for path in sorted((small_digits / "val").glob("*.png"))]


@pytest.fixture(scope="session")
def build(detector_file, save_detector, tmp_path_factory):
    """Function that builds a fused detector from `save_detector`; also its config and classes."""
    files = {"retinanet": detector_file}

    def make(kind="retinanet"):
        if kind not in files:
            files[kind] = save_detector(tmp_path_factory.mktemp(kind) / "epoch_3.pth", kind)
        return build_detector(files[kind])

    return make


@pytest.fixture(scope="session")
def make_exporter(build, exporter):
    """Function that makes an `Exporter` for one of the detectors."""

    def make(kind="retinanet", **options):
        model, cfg, classes = build(kind)
        part = options.get("part", "detector")
        plan = exporter.ExportOptions(**options)
        return exporter.Exporter(model, make_metadata(cfg, model, classes, part), plan)

    return make


@pytest.fixture(scope="session")
def write_once(make_exporter, exporter, images, tmp_path_factory):
    """Function that exports a file, once for the same arguments, since exporting is slow."""
    written, exporters = {}, {}

    def write(kind="retinanet", precision="fp32", format="onnx", **options) -> Path:
        which = kind, tuple(sorted(options.items()))
        key = precision, format, *which
        if key not in written:
            written[key] = (
                tmp_path_factory.mktemp("exported") / f"detector{exporter.ENDINGS[format]}"
            )
            found = exporters.setdefault(which, make_exporter(kind, **options))
            found.write(written[key], precision, images)
        return written[key]

    return write


@pytest.fixture
def resized(images):
    """Function that makes a batch of a given size."""

    def make(count, height, width):
        return np.stack([cv2.resize(image, (width, height)) for image in images[:count]])

    return make
