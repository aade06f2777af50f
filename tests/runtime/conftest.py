"""Handmade exported files: small graphs like those that the exporter writes."""

import json
import os
import subprocess
import sys
from typing import Any, Callable

import numpy as np
import onnx
import onnx.parser
import pytest
from without_pytorch import ABSENT

from vanillanet_det.runtime import Detector, __main__

CELL = 8  # pixels
_WEIGHTS = np.random.RandomState(0).normal(0, 1.2, (1, 3, CELL, CELL))

# A score for each cell of the image, the best 40 as boxes; each row of cells has a class.
_GRAPH = """
<ir_version: 10, opset_import: ["": 20]>
detector (uint8[{shape},3] images) => ({outputs})
<float[1,3,8,8] weights = {{{weights}}}>
{{
    pixels = Cast<to = 1>(images)
    planes = Transpose<perm = [0, 3, 1, 2]>(pixels)
    middle = Constant<value_float = 128.0>()
    large = Constant<value_float = 1000.0>()
    centred = Sub(planes, middle)
    scaled = Div(centred, large)
    logits = Conv<kernel_shape = [8, 8], strides = [8, 8]>(scaled, weights)
    feature_0 = Sigmoid(logits)
    {head}
}}
"""
_HEAD = """
    width = Shape<start = 3>(feature_0)
    rows = Constant<value_ints = [0, -1]>()
    flat = Reshape(feature_0, rows)
    count = Shape<start = 1>(flat)
    limit = Constant<value_ints = [{limit}]>()
    kept = Min(count, limit)
    best, index = TopK(flat, kept)
    row = Div(index, width)
    column = Mod(index, width)
    corner_y = Cast<to = 1>(row)
    corner_x = Cast<to = 1>(column)
    cell = Constant<value_float = 8.0>()
    wide = Constant<value_float = 11.0>()
    high = Constant<value_float = 9.0>()
    left = Mul(corner_x, cell)
    top = Mul(corner_y, cell)
    right = Add(left, wide)
    bottom = Add(top, high)
    last = Constant<value_ints = [-1]>()
    l = Unsqueeze(left, last)
    t = Unsqueeze(top, last)
    r = Unsqueeze(right, last)
    b = Unsqueeze(bottom, last)
    boxes = Concat<axis = -1>(l, t, r, b)
    classes = Constant<value_ints = [3]>()
    nothing = Constant<value_float = 0.0>()
    found = Mod(row, classes)
    threshold = Constant<value_float = 0.3>()
    is_found = Greater(best, threshold)
    labels = Where(is_found, found, last)
    scores = Where(is_found, best, nothing)
"""
_MASKS = """
    sides = Constant<value_ints = [2, 3]>()
    square = Unsqueeze(scores, sides)
    size = Constant<value_ints = [1, 1, 28, 28]>()
    one = Constant<value_float = 1.0>()
    full = Expand(one, size)
    masks = Mul(square, full)
"""
_OUTPUTS = "float[n,k,4] boxes, float[n,k] scores, int64[n,k] labels"


def make_graph(metadata: dict[str, Any]) -> onnx.ModelProto:
    outputs = "float[n,1,y,x] feature_0"
    head = ""
    if metadata["kind"] == "detector":
        outputs = _OUTPUTS
        head = _HEAD.format(limit=40 if metadata["nms_inside"] else 500)
        if metadata["mask_threshold"] is not None:
            outputs += ", float[n,k,28,28] masks"
            head += _MASKS
    shape = [metadata["batch_size"] or "n", *(metadata["input_size"] or ("h", "w"))]
    weights = ", ".join(f"{weight:.6f}" for weight in _WEIGHTS.ravel())
    text = _GRAPH.format(
        shape=",".join(map(str, shape)), outputs=outputs, weights=weights, head=head
    )
    return onnx.parser.parse_model(text)


@pytest.fixture(scope="session")
def metadata():
    """Function that returns a file's metadata, with changes."""

    def make(**changes):
        return {
            "format_version": 1,
            "kind": "detector",
            "model": "hand_made",
            "precision": "fp32",
            "classes": ["cat", "dog", "größer"],
            "score_threshold": 0.3,
            "nms_inside": True,
            "iou_threshold": 0.5,
            "max_detections": 40,
            "mask_threshold": None,
            "resize": None,
            "input_size": None,
            "batch_size": None,
            "padding": [104, 116, 124],
            "opset": 20,
            "versions": {"torch": "2.14.1"},
            **changes,
        }

    return make


@pytest.fixture(scope="session")
def make_file(metadata):
    """Function that writes an exported file, `.onnx` or `.xml`; `text` is its raw metadata."""

    def make(path, text="", **changes):
        values = metadata(**changes)
        model = make_graph(values)
        text = json.dumps(values) if text == "" else text
        if path.suffix == ".xml":
            import openvino

            plain = path.with_name(f".{path.stem}.onnx")
            onnx.save(model, plain)
            converted = openvino.Core().read_model(plain)
            if text is not None:
                converted.set_rt_info(text, "vanillanet_det")
            openvino.save_model(converted, path, compress_to_fp16=False)
            plain.unlink()
            return path
        if text is not None:
            model.metadata_props.add(key="vanillanet_det", value=text)
        onnx.save(model, path)
        return path

    return make


@pytest.fixture(scope="session", params=["a.onnx", "a.xml"])
def any_file(request, make_file, tmp_path_factory):
    """A detector with masks, for each engine."""
    path = tmp_path_factory.mktemp("exported") / request.param
    return make_file(path, mask_threshold=0.5)


@pytest.fixture(scope="session")
def onnx_file(make_file, tmp_path_factory):
    """A detector for ONNX Runtime, without masks."""
    return make_file(tmp_path_factory.mktemp("exported") / "detector.onnx")


@pytest.fixture(scope="session")
def xml_file(make_file, tmp_path_factory):
    """A detector for OpenVINO, without masks."""
    return make_file(tmp_path_factory.mktemp("exported") / "detector.xml")


@pytest.fixture(scope="session")
def images():
    """Images of two shapes with random content."""
    random = np.random.RandomState(0)
    shapes = [(48, 64, 3), (40, 80, 3)]
    return [random.randint(0, 256, shapes[index % 2], np.uint8) for index in range(12)]


@pytest.fixture
def command(monkeypatch):
    """Function that runs the command line in this process and returns its status."""

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["runtime", *map(str, args)])
        with pytest.raises(SystemExit) as exit:
            __main__.main()
        return exit.value.code

    return run


@pytest.fixture(scope="session")
def start_bare(tmp_path_factory, root):
    """Function that starts Python without the packages that the runtime doesn't require."""

    def start(*args, absent=ABSENT):
        folder = tmp_path_factory.mktemp("site")
        hide = f"import sys\nsys.modules.update(dict.fromkeys({absent!r}))\n"
        (folder / "sitecustomize.py").write_text(hide)
        environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{root}"}
        pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return subprocess.Popen([sys.executable, *map(str, args)], env=environment, **pipes)

    return start


@pytest.fixture(scope="session")
def bare(start_bare):
    """Function that runs Python like `start_bare` and waits for it."""

    def run(*args, **kwargs):
        process = start_bare(*args, **kwargs)
        out, error = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, error)

    return run


class Watched:
    """An engine that calls a function with the images before it computes."""

    def __init__(self, engine: Any, function: Callable[[np.ndarray], None]) -> None:
        self._engine, self._function = engine, function

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        self._function(images)
        return self._engine.run(images)


@pytest.fixture
def watch():
    """Function that has another one called with each batch of a detector's engine."""

    def watch(detector: Detector, function: Callable[[np.ndarray], None]) -> None:
        detector.engine = Watched(detector.engine, function)

    return watch


@pytest.fixture
def shapes_seen(watch):
    """Function that lists the shapes of all batches of a detector's engine."""

    def see(detector: Detector) -> list[tuple[int, ...]]:
        seen = []
        watch(detector, lambda images: seen.append(images.shape))
        return seen

    return see
