"""The checks pass where a device computes as the CPU does, and fail where it doesn't."""

import json
import shutil

import pytest
import torch
from mmengine.config import Config

from vanillanet_det import UserError
from vanillanet_det.apis import gpu_check
from vanillanet_det.gpu_checks import checks, detection, fusion, operators, training
from vanillanet_det.gpu_checks.outcome import Finding, SkippedError, run_checks

gpu_check_module = __import__("vanillanet_det.apis.gpu_check", fromlist=["gpu_check"])
CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("mmdet_scope")


def outcomes(*checks):
    return run_checks(checks, CPU, lambda name: None)


@pytest.fixture
def config(small_config):
    return Config.fromfile(small_config)


def passes(finding):
    return finding.figure <= finding.allowed


def refuse(device):
    raise RuntimeError("CUDA error: no kernel image is available\nCompile with TORCH_USE_CUDA_DSA")


def skip(device):
    raise SkippedError("needs two of them")


def test_each_check_ends_by_itself():
    found = outcomes(
        ("exact", lambda device: Finding(0.0, 1e-4)),
        ("at the limit", lambda device: Finding(1e-4, 1e-4)),
        ("beyond it", lambda device: Finding(1.1e-4, 1e-4)),
        ("nothing to compare", lambda device: Finding(float("nan"), 1e-4)),
        ("broken", refuse),
        ("elsewhere", skip),
    )
    assert [outcome.status for outcome in found] == [
        *("passed", "passed", "failed", "failed", "failed", "skipped")
    ]
    assert found[4].reason == "RuntimeError: CUDA error: no kernel image is available"
    assert found[5].reason == "needs two of them"


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("factor", [1.001, float("nan")])
def test_operators(monkeypatch, index, factor):
    assert passes(operators.check_operators(CPU))
    cases = operators._cases

    def changed(generator):
        found = cases(generator)
        run, expected, inputs = found[index]
        found[index] = (lambda *x: run(*x) * factor, expected, inputs)
        return found

    monkeypatch.setattr(operators, "_cases", changed)
    assert not passes(operators.check_operators(CPU))


def test_nms_that_keeps_other_boxes(monkeypatch):
    kept = iter([torch.tensor([0, 2]), torch.tensor([0, 1])])
    monkeypatch.setattr(operators.ops, "nms", lambda *args: (None, next(kept)))
    with pytest.raises(RuntimeError, match="NMS keeps other boxes than on the CPU"):
        operators.check_operators(CPU)


@pytest.mark.parametrize(
    ("name", "precision"),
    [("VanillaNet-5", "fp32"), pytest.param("GResNet-50", "bf16", marks=pytest.mark.slow)],
)
def test_fusion(monkeypatch, name, precision):
    assert passes(fusion.check_fusion(name, precision, CPU, side=64))
    switch = fusion.switch_to_deploy

    def wrong(network):
        fused = switch(network)
        for parameter in fused.parameters():
            parameter.data *= 1.1
        return fused

    monkeypatch.setattr(fusion, "switch_to_deploy", wrong)
    assert not passes(fusion.check_fusion(name, precision, CPU, side=64))


def test_fp16_is_checked_where_there_is_any():
    try:
        torch.nn.functional.conv2d(*torch.rand(2, 1, 1, 3, 3).half())
    except RuntimeError:
        with pytest.raises(SkippedError, match=r"PyTorch 2.* not implemented for 'Half'"):
            fusion.check_fusion("VanillaNet-5", "fp16", CPU, side=32)
    else:
        assert passes(fusion.check_fusion("VanillaNet-5", "fp16", CPU, side=32))


@pytest.mark.skipif(torch.__version__ >= (2, 6), reason="PyTorch can export")
def test_exporting_needs_a_newer_pytorch(config):
    with pytest.raises(SkippedError, match="its exporter lacks custom operators"):
        detection.check_onnxruntime(config, CPU)


def test_a_nan_in_one_layout_fails(monkeypatch):
    errors = iter([0.0, float("nan"), 0.0, 0.0])
    monkeypatch.setattr(fusion, "relative_error", lambda *features: next(errors))
    assert not passes(fusion.check_fusion("VanillaNet-5", "fp32", CPU, side=32))


def test_losses(config, monkeypatch):
    assert passes(training.check_training(config, None, CPU))
    found = training.check_training(config, "bfloat16", CPU)
    assert 0 < found.figure <= found.allowed
    losses = iter([[2.0] * training.STEPS, [2.0] * (training.STEPS - 1) + [2.1]])
    monkeypatch.setattr(training, "_losses", lambda *args: next(losses))
    assert training.check_training(config, None, CPU).figure == pytest.approx(0.05)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU can do float16")
def test_float16_is_for_gpus(config):
    with pytest.raises(SkippedError, match="float16 needs a GPU"):
        training.check_training(config, "float16", CPU)


@pytest.mark.slow
@pytest.mark.xdist_group("two_ranks")
def test_ranks(monkeypatch):
    found = training.check_ranks(CPU)
    assert 0 < found.figure <= found.allowed
    monkeypatch.setattr(training.sys, "executable", shutil.which("false"))
    with pytest.raises(RuntimeError, match="2 ranks: exit status 1"):
        training.check_ranks(CPU)


def test_scores(config, monkeypatch):
    assert detection.check_scores(config, CPU).figure == 0
    scores = detection._scores
    shares = iter([1.0, 1.01])
    monkeypatch.setattr(
        detection, "_scores", lambda *args: [s * next(shares) for s in scores(*args)[:1]]
    )
    assert not passes(detection.check_scores(config, CPU))


def test_graphs_need_a_gpu(config):
    with pytest.raises(SkippedError, match="CUDA graphs need a GPU"):
        detection.check_graphs(config, CPU)


@pytest.mark.slow
def test_onnxruntime(config, exporter, monkeypatch):
    write, files = exporter.Exporter.write, []

    def write_once(self, path, precision):
        if not files:
            write(self, path, precision)
            files.append(path.read_bytes())
        path.write_bytes(files[0])

    monkeypatch.setattr(exporter.Exporter, "write", write_once)
    assert passes(detection.check_onnxruntime(config, CPU))
    with pytest.raises(SkippedError, match="tpu"):
        detection.check_onnxruntime(config, "tpu")
    monkeypatch.setattr(detection, "_PACKAGES", ("no_such_package",))
    with pytest.raises(SkippedError, match="no_such_package"):
        detection.check_onnxruntime(config, CPU)


@pytest.mark.slow
def test_the_benchmark_comes_along(monkeypatch, small_config, tmp_path):
    monkeypatch.setattr(gpu_check_module, "all_checks", lambda cfg: [])
    out = tmp_path / "gpu.json"
    text, has_passed = gpu_check("cpu", [str(small_config)], seconds=0.1, out=str(out))
    assert has_passed
    assert "detector, 1 x 3 x" in text
    rows = json.loads(out.read_text())["benchmark"]["rows"]
    assert {(row["form"], row["mode"]) for row in rows} == {("deploy", "eager")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(device="tpu"), "--device tpu: can't be used here"),
        (dict(device="cpu", out="a.csv"), r"--out a.csv: expected a path ending in \.json"),
        (dict(device="cpu", out="no/a.json"), "--out no/a.json: folder no doesn't exist"),
        (dict(device="cpu", benchmark=["no_such"]), "no_such"),
        (dict(device="cpu", seconds=0.0), "--seconds 0: expected a number above 0"),
    ],
)
def test_mistakes(options, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        gpu_check(**options)


@pytest.mark.gpu
@pytest.mark.slow
def test_all_pass_on_a_gpu(root):
    cfg = Config.fromfile(root / "configs/retinanet_vanillanet5_digits.py")
    found = run_checks(checks.all_checks(cfg), torch.device("cuda"), lambda name: None)
    assert [outcome for outcome in found if outcome.status == "failed"] == []
