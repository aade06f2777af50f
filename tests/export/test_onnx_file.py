"""An exported model is standard ONNX, for any batch and size, and matches PyTorch."""

import numpy as np
import onnx
import pytest
import torch

if torch.__version__ < (2, 6):
    pytest.skip("exporting needs PyTorch 2.6", allow_module_level=True)

from vanillanet_det.export.detectors import export_form
from vanillanet_det.export.onnx_file import OPSET, opset_of
from vanillanet_det.runtime.engines import open_engine

KINDS = ["retinanet", "mask_rcnn"]  # a cascade takes a minute: test_exporter.py
ENGINES = ["onnxruntime", "openvino"]
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("export")]


@pytest.mark.parametrize("kind", KINDS)
def test_standard_operators_and_no_paths_of_this_machine(write_once, kind, root):
    file = write_once(kind)
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    assert not model.functions
    assert opset_of(model) == OPSET
    assert str(root).encode() not in file.read_bytes()
    assert b"site-packages" not in file.read_bytes()
    types = {node.op_type for node in model.graph.node}
    assert "BatchNormalization" not in types
    assert "NonMaxSuppression" in types


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("engine", ENGINES)
def test_any_batch_and_size(write_once, build, resized, kind, engine):
    opened = open_engine(write_once(kind), engine)
    form, outputs = export_form(build(kind)[0])
    for count, height, width in ((2, 160, 192), (1, 97, 211), (3, 33, 64)):
        images = resized(count, height, width)
        with torch.no_grad():
            expected = dict(zip(outputs, form(torch.from_numpy(images))))
        found = opened.run(images)
        assert list(found) == list(outputs)
        for name, tolerance in dict(boxes=1e-3, scores=1e-5, labels=0, masks=1e-3).items():
            if name in expected:
                np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=tolerance)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("engine", ENGINES)
def test_an_image_of_one_pixel(write_once, kind, engine):
    found = open_engine(write_once(kind), engine).run(np.zeros((1, 1, 1, 3), np.uint8))
    assert ((found["boxes"] >= 0) & (found["boxes"] <= 1)).all()


def test_dimensions_have_names(write_once):
    graph = onnx.load(write_once("mask_rcnn")).graph
    shapes = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert shapes == {
        "images": ["batch", "height", "width", 3],
        "boxes": ["batch", "detections", 4],
        "scores": ["batch", "detections"],
        "labels": ["batch", "detections"],
        "masks": ["batch", "detections", 28, 28],
    }
