"""A killed training resumes; fused and unfused models detect the same."""

import os
import pickle
import re
import shutil
import signal
import subprocess
import time

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from torch.testing import assert_close

from vanillanet_det.checkpoints import read_checkpoint

# One process of a parallel run, so that its trainings are run once.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("train_and_test")]
EPOCHS = 3
LAMBDA = 0.25

# Sets lambda at the very start only, so that a resumed run has it from its checkpoint.
HOOK = f"""
from mmdet.registry import HOOKS
from vanillanet_det import DeepTrainingHook

@HOOKS.register_module()
class StartLambda(DeepTrainingHook):
    def before_train(self, runner):
        if runner.iter == 0:
            runner.model.backbone.set_act_lambda({LAMBDA})

    def _set(self, runner):
        pass
"""


@pytest.fixture(scope="module")
def lambda_config(small_config, tmp_path_factory):
    """`small_config` below lambda 1, where evaluation can't be fused."""
    folder = tmp_path_factory.mktemp("lambda")
    (folder / "start_lambda.py").write_text(HOOK)
    path = folder / "lambda.py"
    path.write_text(
        f'_base_ = ["{small_config}"]\n'
        'custom_imports = dict(imports=["vanillanet_det", "start_lambda"])\n'
        'custom_hooks = [dict(type="StartLambda", end=1)]\n'
    )
    return path


@pytest.fixture(scope="module")
def environment(lambda_config):
    return {**os.environ, "PYTHONPATH": str(lambda_config.parent), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def finished(tool, lambda_config, tmp_path_factory):
    """Work dir of a run that nobody disturbed."""
    work_dir = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(lambda_config.parent)
        assert tool("train", lambda_config, "--work-dir", work_dir) == 0
    return work_dir


@pytest.fixture(scope="module")
def killed(command, lambda_config, environment, tmp_path_factory):
    """Work dir of a run killed in its second epoch."""
    work_dir = tmp_path_factory.mktemp("killed")
    process = subprocess.Popen(
        command("train", lambda_config, "--work-dir", work_dir, "--verbose"),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    for line in process.stdout:
        if re.search(r"Epoch\(train\)\s+\[2\]\[3/", line):
            os.kill(process.pid, signal.SIGKILL)
            break
    assert process.wait(timeout=60) == -signal.SIGKILL
    assert (work_dir / "epoch_1.pth").is_file()
    assert not (work_dir / "epoch_2.pth").exists()
    return work_dir


def log_of(work_dir):
    return "".join(path.read_text() for path in sorted(work_dir.rglob("*.log")))


def test_killed_training_resumes_to_the_same_end(
    finished, killed, run_tool, lambda_config, environment, tmp_path
):
    work_dir = shutil.copytree(killed, tmp_path / "w")
    result = run_tool("train", lambda_config, "--work-dir", work_dir, "--resume", env=environment)
    assert result.returncode == 0, result.stderr
    assert "resumed epoch: 1" in log_of(work_dir)
    name = f"epoch_{EPOCHS}.pth"
    ours, theirs = (read_checkpoint(folder / name) for folder in (work_dir, finished))
    assert float(ours["state_dict"]["backbone.act_lambda"]) == LAMBDA
    # Equal weights need the same images, optimizer state, learning rates and lambda.
    assert_close(ours["state_dict"], theirs["state_dict"], rtol=1e-4, atol=1e-5)
    assert ours["param_schedulers"] == theirs["param_schedulers"]
    assert ours["meta"]["iter"] == theirs["meta"]["iter"]


def test_resume_passes_over_a_truncated_checkpoint(
    killed, tool, lambda_config, monkeypatch, tmp_path, capsys
):
    monkeypatch.syspath_prepend(lambda_config.parent)
    work_dir = shutil.copytree(killed, tmp_path / "w")
    whole = (work_dir / "epoch_1.pth").read_bytes()
    truncated = work_dir / "epoch_2.pth"
    truncated.write_bytes(whole[: len(whole) // 2])
    os.utime(truncated, (time.time() + 1, time.time() + 1))
    assert tool("train", lambda_config, "--work-dir", work_dir, "--resume") == 0
    output = "".join(capsys.readouterr())
    assert re.search(r"epoch_2\.pth: .* truncated .*resuming from .*epoch_1\.pth", output)
    assert read_checkpoint(truncated)["meta"]["epoch"] == 2, "it was not written again"


def test_a_truncated_checkpoint_to_resume_from_is_refused_by_name(
    killed, tool, lambda_config, monkeypatch, tmp_path, capsys
):
    monkeypatch.syspath_prepend(lambda_config.parent)
    work_dir = shutil.copytree(killed, tmp_path / "w")
    whole = (work_dir / "epoch_1.pth").read_bytes()
    truncated = work_dir / "epoch_2.pth"
    truncated.write_bytes(whole[: len(whole) // 2])
    args = ["train", lambda_config, "--work-dir", work_dir, "--resume", truncated]
    assert tool(*args) == 2
    error = capsys.readouterr().err
    assert "epoch_2.pth" in error
    assert f"--resume {work_dir / 'epoch_1.pth'}" in error


def test_resume_without_a_checkpoint_starts_a_new_training(tool, small_config, tmp_path, capsys):
    options = ["train_cfg.max_epochs=1"]
    args = ["--work-dir", tmp_path, "--resume", "--cfg-options", *options]
    assert tool("train", small_config, *args) == 0
    assert "starting from scratch" in capsys.readouterr().out
    assert (tmp_path / "epoch_1.pth").is_file()


def test_resume_without_a_checkpoint_starts_from_the_weights_it_is_told(
    killed, tool, lambda_config, monkeypatch, tmp_path
):
    monkeypatch.syspath_prepend(lambda_config.parent)
    weights = killed / "epoch_1.pth"
    options = ["train_cfg.max_epochs=1", f"load_from={weights}"]
    args = ["--work-dir", tmp_path, "--resume", "--cfg-options", *options]
    assert tool("train", lambda_config, *args) == 0
    assert re.search(rf"{weights}: .* 0 missing", log_of(tmp_path))


@pytest.fixture(scope="module")
def trained(tool, small_config, tmp_path_factory):
    """Checkpoint of a run that evaluates fused."""
    work_dir = tmp_path_factory.mktemp("trained")
    assert tool("train", small_config, "--work-dir", work_dir, "--amp", "--auto-scale-lr") == 0
    # So short a training leaves all scores within rounding of each other, and their order to
    # chance; spread them as a long one would.
    path = work_dir / f"epoch_{EPOCHS}.pth"
    checkpoint = read_checkpoint(path)
    checkpoint["state_dict"]["bbox_head.retina_cls.weight"] *= 100
    torch.save(checkpoint, path)
    log = log_of(work_dir)
    assert "Bf16OptimWrapper" in log or torch.cuda.is_available()
    assert "LR is set based on batch size" in log
    return path


def test_fused_and_unfused_detections_are_the_same(trained, tool, small_config, tmp_path):
    results = []
    for flag in ("--deploy", "--no-deploy"):
        out = tmp_path / f"results{flag}.pkl"
        args = [trained, flag, "--work-dir", tmp_path / flag, "--out", out]
        assert tool("test", small_config, *args) == 0
        fused = "Evaluating the fused model" in log_of(tmp_path / flag)
        assert fused == (flag == "--deploy")
        results.append(pickle.loads(out.read_bytes()))  # noqa: S301  written just now
    assert sorted(path.name for path in tmp_path.glob("*.pkl")) == [
        "results--deploy.pkl",
        "results--no-deploy.pkl",
    ]
    for fused, plain in zip(*results):
        fused, plain = fused["pred_instances"], plain["pred_instances"]
        assert len(fused["bboxes"]) == len(plain["bboxes"]) > 0
        assert_close(fused["bboxes"], plain["bboxes"], rtol=0, atol=1e-3)
        assert_close(fused["scores"], plain["scores"], rtol=0, atol=1e-4)
        assert torch.equal(fused["labels"], plain["labels"])


def test_a_fused_checkpoint_detects_the_same(trained, tool, small_config, tmp_path, capsys):
    fused = tmp_path / "fused.pth"
    assert tool("convert_checkpoint", trained, fused, "--deploy", "--verbose") == 0
    report = capsys.readouterr().out
    assert "0 missing, 0 left over" in report
    assert re.search(r"^stages\.2 +\S+e-0[5-9] ", report, flags=re.MULTILINE)
    deployed = ["--cfg-options", "model.backbone.deploy=True"]
    results = []
    for checkpoint, options in ((trained, []), (fused, deployed)):
        out = tmp_path / f"{checkpoint.stem}.pkl"
        args = [checkpoint, "--work-dir", tmp_path / checkpoint.stem, "--out", out, *options]
        assert tool("test", small_config, *args) == 0
        results.append(pickle.loads(out.read_bytes()))  # noqa: S301  written just now
    for ours, theirs in zip(*results):
        assert_close(ours["pred_instances"], theirs["pred_instances"], rtol=0, atol=0)

    # The config in the file builds the matching model.
    cfg = Config.fromstring(read_checkpoint(fused)["meta"]["cfg"], ".py")
    assert cfg.model.backbone.deploy is True
    MODELS.build(cfg.model).load_state_dict(read_checkpoint(fused)["state_dict"])

    work_dir = ["--work-dir", tmp_path]
    for name, args, message in [
        ("test", [fused, *work_dir], "set deploy=True in the backbone"),
        ("test", [trained, *work_dir, *deployed], "remove deploy"),
        ("test", [fused, *work_dir, "--no-deploy", *deployed], "has no training form"),
        ("train", [*work_dir, "--resume", fused], "train from a training checkpoint"),
        ("train", [*work_dir, "--resume", fused, *deployed], "no training state"),
        ("train", [*work_dir, "--cfg-options", f"load_from={fused}"], "from a training checkpoint"),
        ("train", [*work_dir, *deployed], "a deployed network has no BatchNorm"),
    ]:
        capsys.readouterr()
        assert tool(name, small_config, *args) == 2
        error = capsys.readouterr().err
        assert message in error
        assert "Traceback" not in error


def test_a_config_without_the_check_is_checked_too(trained, tool, small_config, tmp_path, capsys):
    config = tmp_path / "plain.py"
    config.write_text(f'_base_ = ["{small_config}"]\ndefault_hooks = dict(_delete_=True)\n')
    half = tmp_path / "half.pth"
    state = read_checkpoint(trained)["state_dict"]
    torch.save({"state_dict": {k: v for k, v in state.items() if "bbox_head" not in k}}, half)
    assert tool("test", config, half, "--work-dir", tmp_path) == 2
    assert "evaluation needs every tensor" in capsys.readouterr().err


def test_images_and_test_time_augmentation(trained, tool, small_config, tmp_path):
    args = [trained, "--tta", "--show-dir", "shown", "--work-dir", tmp_path]
    assert tool("test", small_config, *args) == 0
    assert len(list(tmp_path.glob("*/shown/*.png"))) == 6
