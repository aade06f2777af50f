"""Exported files in a benchmark, beside the network that they were made of."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from vanillanet_det import UserError
from vanillanet_det.benchmark import exported
from vanillanet_det.benchmark.candidates import Subject
from vanillanet_det.benchmark.given import given_candidates, read_files
from vanillanet_det.benchmark.plan import Plan
from vanillanet_det.benchmark.run import run
from vanillanet_det.runtime import Detector

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("mmdet_scope")]
PLAN = Plan(forms=("deploy",), layouts=("contiguous",), sizes=((160, 160),), rounds=2)


def silent(text):
    pass


@pytest.fixture
def cfg(small_config):
    return Config.fromfile(small_config)


@pytest.fixture
def make_candidates(cfg, detector_file):
    """Function that makes the candidates of files beside the small detector."""

    def make(*files, **changes):
        plan = replace(PLAN, exported=tuple(map(str, files)), **changes)
        (found,) = read_files([cfg], plan)
        subject = Subject("small", cfg, str(detector_file), plan)
        return list(given_candidates(subject, found, plan.device, silent)), subject

    return make


@pytest.fixture
def write_pictures(tmp_path):
    """Function that writes pictures of some heights and widths into a folder."""

    def write(*sizes):
        folder = tmp_path / "pictures"
        folder.mkdir()
        random = np.random.RandomState(0)
        for index, size in enumerate(sizes):
            pixels = random.randint(0, 256, (*size, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"{index}.png")
        return str(folder)

    return write


def test_files_are_rows_beside_pytorchs(
    cfg, detector_file, detector_onnx, detector_xml, backbone_onnx
):
    files = tuple(map(str, (detector_onnx, backbone_onnx, detector_xml)))
    result = run([("small", cfg, str(detector_file))], replace(PLAN, exported=files))
    backbone, backbone_file, detector, onnx, xml = result.rows
    assert [row.part for row in result.rows] == ["backbone"] * 2 + ["detector"] * 3
    assert [row.checkpoint for row in (backbone_file, onnx, xml)] == [files[1], files[0], files[2]]
    for engine, package, rows in (
        ("PyTorch", None, (backbone, detector)),
        ("ONNX Runtime", "onnxruntime", (backbone_file, onnx)),
        ("OpenVINO", "openvino", (xml,)),
    ):
        version = f" {result.machine.versions[package].partition('-')[0]}" if package else ""
        assert {row.engine for row in rows} == {engine + version}
        assert {row.layout is None for row in rows} == {package is not None}
        assert {row.file_precision for row in rows} == {"fp32" if package else None}
    for row in result.rows:
        like = backbone if row.part == "backbone" else detector
        assert (row.form, row.precision, len(row.seconds)) == ("deploy", "fp32", 2)
        assert (row.kind, row.flops, row.parameters) == (like.kind, like.flops, like.parameters)
        assert (row.boxes, row.notes, row.missing) == (like.boxes, [], [])
        assert result.share(row) > 0
        is_file = row.layout is None
        assert (row.peak_bytes is None) == is_file
        assert (row.parts == {}) == (is_file or row.part == "backbone")
    assert detector.boxes == 20


def test_boxes_are_in_the_pictures_pixels(
    make_candidates, detector_onnx, write_pictures, monkeypatch
):
    found = []
    finish = Detector.finish

    def watched(*args):
        found.append(finish(*args))
        return found[-1]

    monkeypatch.setattr(Detector, "finish", watched)
    (candidate,), subject = make_candidates(
        detector_onnx, images=write_pictures((120, 200), (310, 130))
    )
    for number, size in enumerate([(120, 200), (310, 130)]):
        assert candidate.compute(number) == len(found[-1]) == 20
        assert found[-1].size == size
        with torch.no_grad():
            (sample,) = subject.fused.model.test_step(candidate.inputs.batches[number])
        expected = sample.pred_instances
        np.testing.assert_allclose(found[-1].boxes, expected.bboxes.numpy(), atol=0.02)
        np.testing.assert_allclose(found[-1].scores, expected.scores.numpy(), atol=1e-4)


def test_pictures_of_several_sizes_are_filled_up_as_pytorch_does(
    make_candidates, backbone_onnx, cfg, write_pictures
):
    cfg.test_dataloader.dataset.pipeline[1].update(scale=(96, 64), keep_ratio=True)
    (candidate,), subject = make_candidates(
        backbone_onnx,
        sizes=(None,),
        batch_sizes=(2,),
        images=write_pictures((100, 160), (160, 100)),
    )
    seen = []
    run_file = candidate._engine.run
    candidate._engine.run = lambda images: seen.append(run_file(images)) or seen[-1]
    assert candidate.compute(0) == 0
    model = subject.fused.model
    (batch,) = candidate.inputs.batches
    assert len({image.shape for image in batch["inputs"]}) == 2
    with torch.no_grad():
        features = model.backbone(model.data_preprocessor(batch, False)["inputs"])
    assert candidate.row.batch_size == 2
    for index, feature in enumerate(features):
        expected, actual = feature.numpy(), seen[0][f"feature_{index}"]
        # A whole number for each channel of a pixel isn't quite what PyTorch fills up with.
        assert np.abs(actual - expected).max() < 0.01 * np.abs(expected).max()


def test_engines_have_pytorchs_threads(make_candidates, detector_onnx, backbone_onnx, monkeypatch):
    seen = []

    def watch(real):
        def watched(*args, **options):
            seen.append(options["threads"])
            return real(*args, **options)

        return watched

    for name in ("Detector", "open_engine"):
        monkeypatch.setattr(exported, name, watch(getattr(exported, name)))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    make_candidates(detector_onnx, backbone_onnx)
    assert seen == [3, 3]


def test_the_precision_is_what_is_computed_in(make_candidates, backbone_fp16):
    candidates, _ = make_candidates(backbone_fp16, sizes=((64, 96), (96, 64)))
    assert len(candidates) == 2
    for candidate in candidates:
        row = candidate.row
        assert (row.precision, row.file_precision) == ("fp32", "fp16")
        assert row.notes == [f"{row.engine} computes fp16 files in fp32 here."]


def test_onnx_in_bf16_runs_in_openvino(make_candidates, export, backbone_onnx):
    file = export("backbone", "onnx", "bf16", input_size=None, batch_size=None)
    (candidate,), _ = make_candidates(file)
    assert candidate.row.engine.startswith("OpenVINO")
    assert candidate.row.file_precision == "bf16"
    assert candidate.compute(0) == 0


def test_random_weights_beside_a_files_own_are_said(cfg, detector_onnx, backbone_onnx):
    files = (str(detector_onnx), str(backbone_onnx))
    plan = replace(PLAN, exported=files)
    subject = Subject("small", cfg, None, plan)
    (found,) = read_files([cfg], plan)
    detector, backbone = given_candidates(subject, found, plan.device, silent)
    assert "has its own weights, the other rows random ones" in detector.row.notes[0]
    assert backbone.row.notes == []


def test_a_file_belongs_to_the_config_of_its_name(cfg, small_config, tmp_path, backbone_onnx):
    other = tmp_path / "other.py"
    other.write_text(f"_base_ = '{small_config}'\n")
    other, plan = Config.fromfile(other), replace(PLAN, exported=(str(backbone_onnx),))
    first, (found,) = read_files([other, cfg], plan)
    assert (first, found.path) == ([], backbone_onnx)
    ((found,),) = read_files([other], plan)
    assert found.metadata.model == "small"
    subject = Subject("other", other, None, plan)
    (candidate,) = given_candidates(subject, [found], plan.device, silent)
    (note,) = candidate.row.notes
    assert "exported from the config 'small'; GFLOPs" in note
    assert "those of 'other'" in note
    with pytest.raises(UserError, match=r"is of the config 'small', and 2 of those given"):
        read_files([cfg, cfg], plan)
    with pytest.raises(UserError, match=r"and none of those given \(other, other\) have this"):
        read_files([other, other], plan)


def test_a_fixed_file_is_measured_where_it_fits(make_candidates, detector_onnx):
    candidates, _ = make_candidates(
        detector_onnx, sizes=((96, 160), (160, 160)), batch_sizes=(1, 2)
    )
    assert [candidate.row.input_shapes for candidate in candidates] == [[(1, 3, 160, 160)]]


@pytest.mark.parametrize("changes", [dict(sizes=((160, 192),)), dict(batch_sizes=(2,))])
def test_a_file_that_is_fixed_to_something_else(make_candidates, detector_onnx, changes):
    message = r"detector_fp32_fixed.onnx: is fixed to --input-size 160x160 and --batch-size 1, and"
    with pytest.raises(UserError, match=message):
        make_candidates(detector_onnx, **changes)


def test_files_that_cant_be_used(make_candidates, detector_onnx, backbone_onnx, cfg, tmp_path):
    for file, parts in ((detector_onnx, ("backbone",)), (backbone_onnx, ("detector",))):
        with pytest.raises(UserError, match=rf"'s file, but --part is {parts[0]}; leave"):
            make_candidates(file, parts=parts)
    with pytest.raises(UserError, match=r"nowhere.onnx: there is no such file"):
        make_candidates(tmp_path / "nowhere.onnx")
    (tmp_path / "cut.onnx").write_bytes(detector_onnx.read_bytes()[:-100_000])
    with pytest.raises(UserError, match=r"cut.onnx: ONNX Runtime .* can't open it"):
        make_candidates(tmp_path / "cut.onnx")


def test_a_file_of_other_classes(cfg, detector_onnx):
    cfg.model.bbox_head.num_classes = 3
    plan = replace(PLAN, exported=(str(detector_onnx),))
    subject = Subject("small", cfg, None, plan)
    (found,) = read_files([cfg], plan)
    with pytest.raises(UserError, match=r"has 10 classes, but the config's detector 3; measure"):
        list(given_candidates(subject, found, plan.device, silent))
