"""The runtime finds in a file of Ultralytics what Ultralytics' own `predict` finds."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

ultralytics = pytest.importorskip("ultralytics", reason="needs the extra yolo")
pytest.importorskip("onnx")

from ultralytics import YOLO  # noqa: E402

from vanillanet_det import UserError  # noqa: E402
from vanillanet_det.runtime import Detector  # noqa: E402

SIZE = 128
SHAPES = [(128, 128), (128, 101), (90, 128), (160, 250), (61, 128)]


def calibrate(model):
    """Give a random network detections in different places, of different classes."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(torch.rand(4, 3, SIZE, SIZE))
    model.nc = model.yaml["nc"]  # as trainers set it
    head = model.model[-1]
    for layers in head.cv3:
        layers[-1].bias.data.fill_(-2)
        layers[-1].weight.data.normal_(0, 0.3)
    return model.eval()


def export(source, folder, **kwargs):
    torch.manual_seed(0)
    yolo = YOLO(source)
    calibrate(yolo.model)
    yolo.ckpt = dict(train_args=dict(task=yolo.task))
    yolo.save(folder / "random.pt")
    return YOLO(folder / "random.pt").export(
        format="onnx", imgsz=SIZE, simplify=False, verbose=False, **kwargs
    )


@pytest.fixture(scope="module")
def files(narrow, tmp_path_factory):
    kinds = dict(detect={}, segment={}, nms=dict(nms=True), dynamic=dict(dynamic=True))
    return {
        kind: export(narrow.get(kind, narrow["detect"]), tmp_path_factory.mktemp(kind), **kwargs)
        for kind, kwargs in kinds.items()
    }


def make_image(shape):
    return np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)


def predict(file, image, kind):
    return YOLO(file, task="segment" if kind == "segment" else "detect").predict(
        image, conf=0.3, iou=0.7, max_det=300, imgsz=SIZE, verbose=False, save=False
    )[0]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["detect", "segment", "nms"])
def test_detections(files, kind, shape):
    image = make_image(shape)
    expected = predict(files[kind], image, kind)
    found = Detector(files[kind], score=0.3)(image)
    # It keeps boxes that are outside of the image.
    sides = expected.boxes.xyxy[:, 2:] - expected.boxes.xyxy[:, :2]
    expected = expected[(sides > 0).all(1)]
    theirs = expected.boxes.data.numpy()
    ours = np.c_[found.boxes, found.scores, found.labels]
    # Older versions scale both sides by one number, and forget that sides are rounded.
    equal = np.isclose(ours[:, None], theirs, rtol=1e-3, atol=1e-4).all(2)
    # Of hundreds of random boxes, two may overlap as much as NMS allows, up to rounding.
    assert min(equal.any(0).mean(), equal.any(1).mean()) > 0.99
    assert len(ours) > 50
    first, second = np.nonzero(equal & (equal.sum(0) == 1) & (equal.sum(1) == 1)[:, None])
    assert len(first) > 50
    assert found.classes == tuple(expected.names.values())
    assert len(set(found.labels)) > 3
    if kind == "segment" and max(shape) == SIZE:  # Ultralytics' are those of the padded image
        top, left = ((SIZE - side) // 2 for side in shape)
        masks = expected.masks.data.numpy().astype(bool)
        if masks.shape[1:] == (SIZE, SIZE):
            masks = masks[:, top : top + shape[0], left : left + shape[1]]
        assert found.masks.any()
        differing = found.masks[first] != masks[second]
        assert differing.mean() < (1e-6 if is_new() else 0.05)


def is_new():
    """Return whether Ultralytics enlarges masks before it cuts them at their boxes."""
    return tuple(map(int, ultralytics.__version__.split(".")[:2])) >= (8, 4)


def test_the_license_is_stated(narrow, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(ultralytics.utils.LOGGER, "propagate", True)
    with caplog.at_level("INFO", logger="ultralytics"):
        export(narrow["detect"], tmp_path)
    assert (
        "AGPL-3.0, which also applies to models that are made with it, and to this" in caplog.text
    )


def test_both_engines(files):
    pytest.importorskip("openvino")
    image = make_image((SIZE, SIZE))[None]
    for kind in ("detect", "segment"):
        ours, theirs = (
            Detector(files[kind], engine=engine).engine.run(image)
            for engine in ("onnxruntime", "openvino")
        )
        for name in ("boxes", "scores"):
            assert_allclose(ours[name], theirs[name], rtol=1e-3, atol=1e-3)


def test_several_images(files):
    images = [make_image((SIZE, SIZE)), make_image((SIZE, SIZE))[::-1].copy()]
    alone = Detector(files["detect"], score=0.3)  # one image at a time
    for found, image in zip(Detector(files["dynamic"], score=0.3)(images, batch_size=2), images):
        expected = alone(image)
        assert len(found) == len(expected) > 10
        assert_allclose(found.scores, expected.scores, rtol=0, atol=1e-4)


def test_a_file_of_another_task(files, tmp_path):
    import onnx

    model = onnx.load(files["detect"])
    for entry in model.metadata_props:
        if entry.key == "task":
            entry.value = "pose"
    onnx.save(model, tmp_path / "pose.onnx")
    with pytest.raises(UserError, match=r"pose\.onnx: is a file for the task 'pose'; expected"):
        Detector(tmp_path / "pose.onnx")
    for entry in model.metadata_props:
        if entry.key == "task":
            entry.value = "detect"
        if entry.key == "names":
            entry.value = "__import__('os').abort()"
    onnx.save(model, tmp_path / "names.onnx")
    with pytest.raises(UserError, match=r"names\.onnx: its metadata has names"):
        Detector(tmp_path / "names.onnx")
    for entry in model.metadata_props:
        if entry.key == "names":
            entry.value = str({index: str(index) for index in range(500)})
    onnx.save(model, tmp_path / "more.onnx")
    with pytest.raises(UserError, match=r"output0 has the shape .*; expected at least 504 values"):
        Detector(tmp_path / "more.onnx")(make_image((SIZE, SIZE)))
