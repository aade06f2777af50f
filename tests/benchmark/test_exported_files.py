"""Networks that the benchmark itself exports."""

import importlib.util
import tempfile
from dataclasses import replace
from functools import partial

import pytest
import torch
from mmengine.config import Config

from vanillanet_det import UserError
from vanillanet_det.benchmark import run as run_module
from vanillanet_det.benchmark.exported_files import check_exports, export_files
from vanillanet_det.benchmark.run import detector_candidates, run
from vanillanet_det.benchmark.settings import BenchmarkSettings

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("mmdet_scope")]
QUICK = BenchmarkSettings(
    forms=("deploy",), layouts=("contiguous",), sizes=((64, 96),), parts=("backbone",), rounds=1
)


@pytest.fixture
def cfg(small_config):
    return Config.fromfile(small_config)


def test_every_precision_size_and_engine_is_a_row(cfg, detector_file, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    settings = replace(
        QUICK,
        engines=("pytorch", "onnxruntime", "openvino"),
        precisions=("fp32", "fp16"),
        sizes=((64, 96), (96, 64)),
    )
    rows = run(partial(detector_candidates, [("small", cfg, str(detector_file))]), settings).rows
    assert not list(tmp_path.iterdir())
    for size in settings.sizes:
        found = [row for row in rows if row.input_shapes == [(1, 3, *size)]]
        engines = [row.engine.rpartition(" ")[0] or row.engine for row in found]
        assert engines == ["PyTorch"] * 2 + ["ONNX Runtime"] * 2 + ["OpenVINO"] * 2
        assert [row.file_precision for row in found] == [None, None, *["fp32", "fp16"] * 2]
        assert {row.form for row in found} == {"deploy"}
        assert {row.checkpoint for row in found} == {str(detector_file)}


def test_random_weights_find_the_same_boxes(cfg):
    settings = replace(QUICK, engines=("pytorch", "onnxruntime"), parts=("detector",))
    pytorch, onnx = run(partial(detector_candidates, [("small", cfg, None)]), settings).rows
    assert onnx.boxes == pytorch.boxes == 20
    assert onnx.checkpoint is None


def test_one_graph_in_fp32_serves_both_engines(cfg, monkeypatch):
    from vanillanet_det.export import exporter as export

    traced = []
    real = export.to_onnx
    monkeypatch.setattr(export, "to_onnx", lambda *args: traced.append(args) or real(*args))
    engines = ("onnxruntime", "openvino")
    run(
        partial(detector_candidates, [("small", cfg, None)]),
        replace(QUICK, engines=engines, precisions=("fp32", "fp16")),
    )
    # In 16 bits with normalisation, which OpenVINO's files are in when they are opened.
    found = [(args[0].dtype, args[0].preprocessor.normalizes) for args in traced]
    assert found == [(torch.float32, False), (torch.float16, True), (torch.float32, True)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            replace(QUICK, engines=("pytorch", "onnxruntime"), precisions=("fp32", "bf16")),
            r"--engine onnxruntime --precision bf16: ONNX Runtime has no convolution in bf16",
        ),
        (
            replace(QUICK, engines=("openvino",), device=torch.device("cuda")),
            r"--engine openvino: can't compute on --device cuda; omit",
        ),
    ],
)
def test_what_an_engine_cant_do_is_refused(cfg, settings, message):
    with pytest.raises(UserError, match=message):
        check_exports([cfg], settings)


def test_bf16_is_openvinos(cfg):
    check_exports([cfg], replace(QUICK, engines=("openvino",), precisions=("bf16",)))


@pytest.mark.parametrize("package", ["onnxscript", "openvino"])
def test_a_missing_package_is_named(cfg, package, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == package else find(n))
    settings = replace(QUICK, engines=("openvino",))
    with pytest.raises(UserError, match=rf"--engine openvino: needs {package}: pip install"):
        check_exports([cfg], settings)
    check_exports([cfg], QUICK)
    monkeypatch.setattr(torch, "__version__", "2.5.1+cpu")
    with pytest.raises(UserError, match=r"PyTorch 2.5.1\+cpu: its exporter lacks"):
        check_exports([cfg], settings)


def test_a_detector_that_cant_be_exported_is_refused_before_any_is_built(root, cfg, monkeypatch):
    monkeypatch.delattr(run_module, "Workload")
    other = Config.fromfile(root / "configs/mask_rcnn_vanillanet11_coco.py")
    other.model.test_cfg.rcnn.nms.type = "soft_nms"
    networks = [("small", cfg, None), ("other", other, None)]
    settings = replace(QUICK, engines=("pytorch", "onnxruntime"), parts=("backbone", "detector"))
    message = r"--engine onnxruntime: mask_rcnn_vanillanet11_coco: test_cfg of .*soft_nms"
    with pytest.raises(UserError, match=message):
        run(partial(detector_candidates, networks), settings)
    check_exports([other], replace(settings, parts=("backbone",)))
    check_exports([other], replace(settings, engines=("pytorch",)))


def test_a_pipeline_that_no_file_can_describe_is_refused(cfg):
    cfg.test_dataloader.dataset.pipeline.insert(1, dict(type="RandomFlip", prob=1.0))
    settings = replace(QUICK, engines=("onnxruntime",), parts=("detector",))
    with pytest.raises(UserError, match=r"--engine onnxruntime: small: .*RandomFlip"):
        check_exports([cfg], settings)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_no_room_for_the_files_is_one_sentence(cfg, engine, small_disk, monkeypatch):
    (small_disk / "filler").write_bytes(bytes(60 * 1024))
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    with pytest.raises(UserError, match=r"can't be exported into .*No space left.*TMPDIR"):
        run(partial(detector_candidates, [("small", cfg, None)]), replace(QUICK, engines=(engine,)))


def test_what_takes_time_is_shown(cfg, detector_file):
    from vanillanet_det.benchmark.candidates import Workload

    shown = []
    settings = replace(QUICK, engines=("openvino",))
    workload = Workload("small", cfg, str(detector_file), settings)
    assert len(list(export_files(workload, settings, shown.append))) == 1
    assert shown == ["small backbone, fp32: exporting for openvino, up to a minute"]
