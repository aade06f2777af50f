"""Exported files in a benchmark, beside the network that they were made of."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from vanillanet_det import UserError
from vanillanet_det.benchmark import exported
from vanillanet_det.benchmark.candidates import Workload
from vanillanet_det.benchmark.exported import exported_candidates
from vanillanet_det.benchmark.exported_files import find_user_files, user_files
from vanillanet_det.benchmark.run import detector_candidates, run
from vanillanet_det.benchmark.settings import BenchmarkSettings
from vanillanet_det.runtime import Detector

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("mmdet_scope")]
SETTINGS = BenchmarkSettings(
    forms=("deploy",), layouts=("contiguous",), sizes=((160, 160),), rounds=2
)


def candidates_of(workload, found):
    """The candidates of the user's files."""
    files = user_files(workload, found, lambda text: None)
    return list(exported_candidates(workload, files, torch.device("cpu")))


@pytest.fixture
def cfg(small_config):
    return Config.fromfile(small_config)


@pytest.fixture
def make_candidates(cfg, detector_file):
    """Function that makes the candidates of files beside the small detector."""

    def make(*files, **changes):
        settings = replace(SETTINGS, exported=tuple(map(str, files)), **changes)
        (found,) = find_user_files([cfg], settings)
        workload = Workload("small", cfg, str(detector_file), settings)
        return candidates_of(workload, found), workload

    return make


@pytest.fixture
def write_images(tmp_path):
    """Function that writes images of some heights and widths into a folder."""

    def write(*sizes):
        folder = tmp_path / "images"
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
    result = run(
        partial(detector_candidates, [("small", cfg, str(detector_file))]),
        replace(SETTINGS, exported=files),
    )
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


def test_boxes_are_in_the_images_pixels(make_candidates, detector_onnx, write_images, monkeypatch):
    found = []
    finish = Detector.finish

    def watched(*args):
        found.append(finish(*args))
        return found[-1]

    monkeypatch.setattr(Detector, "finish", watched)
    (candidate,), workload = make_candidates(
        detector_onnx, images=write_images((120, 200), (310, 130))
    )
    for number, size in enumerate([(120, 200), (310, 130)]):
        assert candidate.compute(number) == len(found[-1]) == 20
        assert found[-1].size == size
        with torch.no_grad():
            (sample,) = workload.fused.model.test_step(candidate.inputs.batches[number])
        expected = sample.pred_instances
        np.testing.assert_allclose(found[-1].boxes, expected.bboxes.numpy(), atol=0.02)
        np.testing.assert_allclose(found[-1].scores, expected.scores.numpy(), atol=1e-4)


def test_images_of_several_sizes_are_filled_up_as_pytorch_does(
    make_candidates, backbone_onnx, cfg, write_images
):
    cfg.test_dataloader.dataset.pipeline[1].update(scale=(96, 64), keep_ratio=True)
    (candidate,), workload = make_candidates(
        backbone_onnx,
        sizes=(None,),
        batch_sizes=(2,),
        images=write_images((100, 160), (160, 100)),
    )
    seen = []
    run_file = candidate._engine.run
    candidate._engine.run = lambda images: seen.append(run_file(images)) or seen[-1]
    assert candidate.compute(0) == 0
    model = workload.fused.model
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


def test_random_weights_beside_those_of_a_file_are_reported(cfg, detector_onnx, backbone_onnx):
    files = (str(detector_onnx), str(backbone_onnx))
    settings = replace(SETTINGS, exported=files)
    workload = Workload("small", cfg, None, settings)
    (found,) = find_user_files([cfg], settings)
    detector, backbone = candidates_of(workload, found)
    assert "has its own weights, the other rows have random ones" in detector.row.notes[0]
    assert backbone.row.notes == []


def test_a_file_belongs_to_the_config_of_its_name(cfg, small_config, tmp_path, backbone_onnx):
    other = tmp_path / "other.py"
    other.write_text(f"_base_ = '{small_config}'\n")
    other, settings = Config.fromfile(other), replace(SETTINGS, exported=(str(backbone_onnx),))
    first, (found,) = find_user_files([other, cfg], settings)
    assert (first, found.path) == ([], backbone_onnx)
    ((found,),) = find_user_files([other], settings)
    assert found.metadata.model == "small"
    workload = Workload("other", other, None, settings)
    (candidate,) = candidates_of(workload, [found])
    (note,) = candidate.row.notes
    assert "exported from the config 'small'; GFLOPs" in note
    assert "those of 'other'" in note
    with pytest.raises(UserError, match=r"was exported from the config 'small', and 2 of the"):
        find_user_files([cfg, cfg], settings)
    with pytest.raises(UserError, match=r"and none of the configs here \(other, other\) have this"):
        find_user_files([other, other], settings)


def test_a_fixed_file_is_measured_where_it_fits(make_candidates, detector_onnx):
    candidates, _ = make_candidates(
        detector_onnx, sizes=((96, 160), (160, 160)), batch_sizes=(1, 2)
    )
    assert [candidate.row.input_shapes for candidate in candidates] == [[(1, 3, 160, 160)]]


@pytest.mark.parametrize("changes", [dict(sizes=((160, 192),)), dict(batch_sizes=(2,))])
def test_a_file_that_is_fixed_to_something_else(make_candidates, detector_onnx, changes):
    message = r"detector_fp32_fixed.onnx: is fixed to --input-size 160x160 and --batch-size 1, but"
    with pytest.raises(UserError, match=message):
        make_candidates(detector_onnx, **changes)


def test_files_that_cant_be_used(make_candidates, detector_onnx, backbone_onnx, cfg, tmp_path):
    for file, parts in ((detector_onnx, ("backbone",)), (backbone_onnx, ("detector",))):
        with pytest.raises(UserError, match=rf": contains a \w+, but --part is {parts[0]}; omit"):
            make_candidates(file, parts=parts)
    with pytest.raises(UserError, match=r"nowhere.onnx: there is no such file"):
        make_candidates(tmp_path / "nowhere.onnx")
    (tmp_path / "cut.onnx").write_bytes(detector_onnx.read_bytes()[:-100_000])
    with pytest.raises(UserError, match=r"cut.onnx: ONNX Runtime .* can't open it"):
        make_candidates(tmp_path / "cut.onnx")


def test_a_file_of_other_classes(cfg, detector_onnx):
    cfg.model.bbox_head.num_classes = 3
    settings = replace(SETTINGS, exported=(str(detector_onnx),))
    workload = Workload("small", cfg, None, settings)
    (found,) = find_user_files([cfg], settings)
    with pytest.raises(
        UserError, match=r"has 10 classes, but the config's detector has 3; measure"
    ):
        candidates_of(workload, found)
