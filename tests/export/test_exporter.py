"""Files of every kind are written whole and compared with PyTorch, or not at all."""

import numpy as np
import onnx
import pytest

from vanillanet_det import UserError
from vanillanet_det.export import exporting
from vanillanet_det.runtime import Detector
from vanillanet_det.runtime.engines import ENGINES, open_engine

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("export")]
FIXED = dict(input_size=(160, 160), batch_size=1)  # which takes a third of the time to export


def assert_checked(exporter, file, precision, pictures):
    text = exporter.check(file, precision, pictures)
    assert text.startswith("largest difference") or int(text.split()[0]) >= len(pictures)


@pytest.mark.parametrize("format", ["onnx", "openvino"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_a_detector_in_every_precision(make_exporter, write_once, pictures, format, precision):
    file = write_once(precision=precision, format=format, **FIXED)
    assert_checked(make_exporter(**FIXED), file, precision, pictures)
    metadata = Detector(file).metadata
    assert (metadata.precision, metadata.kind) == (precision, "detector")
    assert (metadata.input_size, metadata.batch_size) == ((160, 160), 1)
    if format == "onnx":
        types = {weight.data_type for weight in onnx.load(file).graph.initializer if weight.dims}
        narrow = dict(fp16=onnx.TensorProto.FLOAT16, bf16=onnx.TensorProto.BFLOAT16)
        assert narrow.get(precision, onnx.TensorProto.FLOAT) in types


def test_a_cascade(make_exporter, write_once, pictures):
    file = write_once("cascade", **FIXED)
    assert_checked(make_exporter("cascade", **FIXED), file, "fp32", pictures)
    expected, found = (Detector(file, engine=name)(pictures[0]) for name in ENGINES)
    assert len(expected) >= 5
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=0.01)
    assert (found.masks != expected.masks).mean() < 1e-3


@pytest.mark.parametrize(("format", "kind"), [("onnx", "retinanet"), ("openvino", "mask_rcnn")])
def test_int8_keeps_the_detections(make_exporter, write_once, pictures, format, kind):
    file = write_once(kind, "int8", format, **FIXED)
    make_exporter(kind, **FIXED).check(file, "int8", pictures)
    if format == "onnx":
        kinds = [node.op_type for node in onnx.load(file).graph.node]
        assert kinds.count("QuantizeLinear") >= 8
    else:
        assert file.read_text().count('type="FakeQuantize"') >= 8


def test_the_pictures_size_may_differ_from_a_fixed_one(make_exporter, write_once, pictures):
    lying = [image[:90] for image in pictures]
    file = write_once(format="openvino", **FIXED)
    assert_checked(make_exporter(**FIXED), file, "fp32", lying)


def test_nms_outside(make_exporter, write_once, pictures):
    plan = dict(nms=False, **FIXED)
    file = write_once(**plan)
    assert "NonMaxSuppression" not in {node.op_type for node in onnx.load(file).graph.node}
    assert_checked(make_exporter(**plan), file, "fp32", pictures)


def test_padding_that_no_picture_has(make_exporter, build):
    model = build()[0]
    exporter = make_exporter()
    assert all(0 < value < 255 for value in exporter.metadata.padding)
    model.data_preprocessor.pad_value = 300
    with pytest.raises(UserError, match=r"--input-size: the config pads with"):
        exporting.Exporter(model, exporter.metadata, exporting.Plan(**FIXED))


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_backbone(make_exporter, write_once, pictures, precision, build):
    plan = dict(part="backbone", **FIXED)
    exporter, file = make_exporter(**plan), write_once(precision=precision, **plan)
    assert_checked(exporter, file, precision, pictures)
    engine = open_engine(file)
    found = engine.run(pictures[0][None])
    channels = build()[0].backbone.out_channels
    assert [value.shape[1] for value in found.values()] == list(channels)
    with pytest.raises(UserError, match=r"is a backbone's file"):
        Detector(file)
    exporter.model.backbone.stem[0].weight.data *= 1.1
    with pytest.raises(UserError, match=r"largest difference of a feature: .*no file is kept"):
        exporter.check(file, precision, pictures)
    exporter.model.backbone.stem[0].weight.data[0] = float("nan")
    with pytest.raises(UserError, match=r"largest difference of a feature: nan of"):
        exporter.check(file, precision, pictures[:2])


def test_another_detectors_file_is_found_out(make_exporter, write_once, pictures):
    exporter, file = make_exporter(**FIXED), write_once(**FIXED)
    exporter.model.bbox_head.retina_reg.bias.data += 0.01
    with pytest.raises(UserError, match=r"too far from PyTorch, and no file is kept"):
        exporter.check(file, "fp32", pictures)


def test_nothing_to_compare_is_no_proof(make_exporter, write_once):
    exporter, file = make_exporter(**FIXED), write_once(**FIXED)
    exporter.model.bbox_head.retina_cls.bias.data -= 100
    detector = exporting.Detector
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "Detector", lambda path, score: detector(path, score=1.0))
        with pytest.raises(UserError, match=r"nothing is found in the 1 pictures.*--images DIR"):
            exporter.check(file, "fp32", [np.zeros((160, 160, 3), np.uint8)])


def test_a_staged_file_takes_its_name_when_all_is_well(tmp_path):
    target = tmp_path / "new" / "a.xml"
    with exporting.staged(target) as path:
        path.write_text("<net/>")
        path.with_suffix(".bin").write_bytes(b"123")
        assert not target.exists()
    assert sorted(file.name for file in target.parent.iterdir()) == ["a.bin", "a.xml"]


def test_an_older_file_is_not_found_beside_newer_weights(tmp_path, monkeypatch):
    target = tmp_path / "a.xml"
    for file in (target, target.with_suffix(".bin")):
        file.write_text("old")
    replace, seen = exporting.os.replace, []

    def watched(source, path):
        seen.append((path.suffix, target.exists()))
        replace(source, path)

    monkeypatch.setattr(exporting.os, "replace", watched)
    with exporting.staged(target) as path:
        for file in (path, path.with_suffix(".bin")):
            file.write_text("new")
    assert seen == [(".bin", False), (".xml", False)]
    assert target.read_text() == "new"


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_a_full_disk_is_one_sentence(make_exporter, write_once, small_disk, monkeypatch, format):
    exporter = make_exporter(**FIXED)
    whole = onnx.load(write_once(**FIXED))
    monkeypatch.setattr(exporter, "_to_onnx", lambda dtype, fold: whole)
    target = small_disk / f"a{exporting.ENDINGS[format]}"

    def write():
        with exporting.staged(target) as path:
            exporter.write(path, "fp32")

    with pytest.raises(UserError, match=r"--out .*can't be written .*make room, or choose another"):
        write()
    assert not list(small_disk.iterdir())


@pytest.mark.parametrize("error", [UserError("wrong"), KeyboardInterrupt()])
def test_a_staged_file_is_gone_when_not(tmp_path, error):
    target = tmp_path / "a.onnx"
    target.write_bytes(b"before")

    def write():
        with exporting.staged(target) as path:
            path.write_bytes(b"after")
            raise error

    with pytest.raises(type(error)):
        write()
    assert [file.name for file in tmp_path.iterdir()] == ["a.onnx"]
    assert target.read_bytes() == b"before"


def test_a_place_that_is_none(tmp_path):
    (tmp_path / "file").write_text("")
    staged = exporting.staged(tmp_path / "file" / "a.onnx")
    with pytest.raises(UserError, match=r"--out .*a\.onnx: can't be written"), staged:
        pass
