"""Files of every kind are complete and verified, or not written at all."""

import numpy as np
import onnx
import pytest
import torch

if torch.__version__ < (2, 6):
    pytest.skip("exporting needs PyTorch 2.6", allow_module_level=True)

from vanillanet_det import UserError
from vanillanet_det.export import exporter as exporter_module
from vanillanet_det.runtime import Detector
from vanillanet_det.runtime.engines import ENGINES, open_engine

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("export")]
FIXED = dict(input_size=(160, 160), batch_size=1)  # exports in a third of the time


def assert_verified(exporter, file, precision, images):
    text = exporter.verify(file, precision, images)
    assert text.startswith("largest difference") or int(text.split()[0]) >= len(images)


@pytest.mark.parametrize("format", ["onnx", "openvino"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_a_detector_in_every_precision(make_exporter, write_once, images, format, precision):
    file = write_once(precision=precision, format=format, **FIXED)
    assert_verified(make_exporter(**FIXED), file, precision, images)
    metadata = Detector(file).metadata
    assert (metadata.precision, metadata.kind) == (precision, "detector")
    assert (metadata.input_size, metadata.batch_size) == ((160, 160), 1)
    if format == "onnx":
        types = {weight.data_type for weight in onnx.load(file).graph.initializer if weight.dims}
        narrow = dict(fp16=onnx.TensorProto.FLOAT16, bf16=onnx.TensorProto.BFLOAT16)
        assert narrow.get(precision, onnx.TensorProto.FLOAT) in types


@pytest.mark.parametrize("kind", ["rtmdet", "yolox", "rtmdet_ins", "cascade"])
def test_other_detectors(make_exporter, write_once, images, kind):
    file = write_once(kind, **FIXED)
    assert_verified(make_exporter(kind, **FIXED), file, "fp32", images)
    expected, found = (Detector(file, engine=name)(images[0]) for name in ENGINES)
    assert len(expected) >= 5
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=0.01)
    # Version 1 knows no masks of the whole image.
    assert Detector(file).metadata.format_version == (2 if kind == "rtmdet_ins" else 1)
    if kind in ("rtmdet_ins", "cascade"):
        assert (found.masks != expected.masks).mean() < 1e-3


@pytest.mark.parametrize(("format", "kind"), [("onnx", "retinanet"), ("openvino", "mask_rcnn")])
def test_int8_keeps_the_detections(make_exporter, write_once, images, format, kind):
    file = write_once(kind, "int8", format, **FIXED)
    make_exporter(kind, **FIXED).verify(file, "int8", images)
    if format == "onnx":
        kinds = [node.op_type for node in onnx.load(file).graph.node]
        assert kinds.count("QuantizeLinear") >= 8
    else:
        assert file.read_text().count('type="FakeQuantize"') >= 8


def test_image_size_may_differ_from_the_fixed_size(make_exporter, write_once, images):
    landscape = [image[:90] for image in images]
    file = write_once(format="openvino", **FIXED)
    assert_verified(make_exporter(**FIXED), file, "fp32", landscape)


def test_nms_outside(make_exporter, write_once, images):
    options = dict(nms=False, **FIXED)
    file = write_once(**options)
    assert "NonMaxSuppression" not in {node.op_type for node in onnx.load(file).graph.node}
    assert_verified(make_exporter(**options), file, "fp32", images)


def test_padding_outside_of_pixel_values(make_exporter, build):
    model = build()[0]
    exporter = make_exporter()
    assert all(0 < value < 255 for value in exporter.metadata.padding)
    model.data_preprocessor.pad_value = 300
    with pytest.raises(UserError, match=r"--input-size: the config pads with"):
        exporter_module.Exporter(model, exporter.metadata, exporter_module.ExportOptions(**FIXED))


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_backbone(make_exporter, write_once, images, precision, build):
    options = dict(part="backbone", **FIXED)
    exporter, file = make_exporter(**options), write_once(precision=precision, **options)
    assert_verified(exporter, file, precision, images)
    engine = open_engine(file)
    found = engine.run(images[0][None])
    channels = build()[0].backbone.out_channels
    assert [value.shape[1] for value in found.values()] == list(channels)
    with pytest.raises(UserError, match=r"is a backbone's file"):
        Detector(file)
    exporter.model.backbone.stem[0].weight.data *= 1.1
    with pytest.raises(UserError, match=r"difference of a feature: .*the file was discarded"):
        exporter.verify(file, precision, images)
    exporter.model.backbone.stem[0].weight.data[0] = float("nan")
    with pytest.raises(UserError, match=r"largest difference of a feature: nan of"):
        exporter.verify(file, precision, images[:2])


def test_a_file_of_another_detector_is_detected(make_exporter, write_once, images):
    exporter, file = make_exporter(**FIXED), write_once(**FIXED)
    exporter.model.bbox_head.retina_reg.bias.data += 0.01
    with pytest.raises(UserError, match=r"differs too much from PyTorch, the file was discarded"):
        exporter.verify(file, "fp32", images)


def test_no_detections_prove_nothing(make_exporter, write_once):
    exporter, file = make_exporter(**FIXED), write_once(**FIXED)
    exporter.model.bbox_head.retina_cls.bias.data -= 100
    detector = exporter_module.Detector
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporter_module, "Detector", lambda path, score: detector(path, score=1.0))
        with pytest.raises(UserError, match=r"no detections in the 1 images.*--images DIR"):
            exporter.verify(file, "fp32", [np.zeros((160, 160, 3), np.uint8)])


def test_a_staged_file_is_moved_into_place_on_success(tmp_path):
    target = tmp_path / "new" / "a.xml"
    with exporter_module.staged(target) as path:
        path.write_text("<net/>")
        path.with_suffix(".bin").write_bytes(b"123")
        assert not target.exists()
    assert sorted(file.name for file in target.parent.iterdir()) == ["a.bin", "a.xml"]


def test_an_old_file_never_stands_beside_new_weights(tmp_path, monkeypatch):
    target = tmp_path / "a.xml"
    for file in (target, target.with_suffix(".bin")):
        file.write_text("old")
    replace, seen = exporter_module.os.replace, []

    def watched(source, path):
        seen.append((path.suffix, target.exists()))
        replace(source, path)

    monkeypatch.setattr(exporter_module.os, "replace", watched)
    with exporter_module.staged(target) as path:
        for file in (path, path.with_suffix(".bin")):
            file.write_text("new")
    assert seen == [(".bin", False), (".xml", False)]
    assert target.read_text() == "new"


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_a_full_disk_is_one_sentence(make_exporter, write_once, small_disk, monkeypatch, format):
    exporter = make_exporter(**FIXED)
    whole = onnx.load(write_once(**FIXED))
    monkeypatch.setattr(exporter, "_to_onnx", lambda dtype, fold: whole)
    target = small_disk / f"a{exporter_module.ENDINGS[format]}"

    def write():
        with exporter_module.staged(target) as path:
            exporter.write(path, "fp32")

    with pytest.raises(UserError, match=r"--out .*can't be written .*free disk space, or"):
        write()
    assert not list(small_disk.iterdir())


@pytest.mark.parametrize("error", [UserError("wrong"), KeyboardInterrupt()])
def test_a_staged_file_is_discarded_on_failure(tmp_path, error):
    target = tmp_path / "a.onnx"
    target.write_bytes(b"before")

    def write():
        with exporter_module.staged(target) as path:
            path.write_bytes(b"after")
            raise error

    with pytest.raises(type(error)):
        write()
    assert [file.name for file in tmp_path.iterdir()] == ["a.onnx"]
    assert target.read_bytes() == b"before"


def test_an_impossible_path(tmp_path):
    (tmp_path / "file").write_text("")
    staged = exporter_module.staged(tmp_path / "file" / "a.onnx")
    with pytest.raises(UserError, match=r"--out .*a\.onnx: can't be written"), staged:
        pass
