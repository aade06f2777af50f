"""Pretraining as a user runs it, from an image folder to a backbone."""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess

import pytest
import torch
from mmengine.config import Config
from torch.nn.modules.batchnorm import _BatchNorm
from torch.testing import assert_close

from vanillanet_det.checkpoints import read_checkpoint
from vanillanet_det.classifiers import VanillaNetTimm

pytestmark = pytest.mark.xdist_group("pretrain")
# With everything that is random: augmentation, mixup and cutmix, erasing, dropout.
QUICK = ("--model", "small", "--width", "8", "--epochs", "3", "--batch-size", "16")
QUICK += ("--input-size", "32", "--workers", "0", "--ema", "0.1", "--mixup", "0.3")

# Without it, loading the last image of a batch would also seed mixup and dropout.
WORKER = ("--workers", "1")


@pytest.fixture(scope="module")
def finished(run_tool, digit_images, tmp_path_factory):
    """Work dir of a run that nobody disturbed."""
    where = tmp_path_factory.mktemp("pretrained")
    result = run_tool("pretrain", digit_images, "--work-dir", where, *QUICK, *WORKER)
    assert result.returncode == 0, result.stderr
    return where


@pytest.mark.slow
def test_from_images_to_accuracies(finished, tool, digit_images, capsys):
    last = finished / "epoch_3.pth"
    assert tool("pretrain", digit_images, "--evaluate", last, "--input-size", "32") == 0
    output = capsys.readouterr().out
    rows = dict(re.findall(r"^(\w+(?:, fused)?) +([\d.]+)", output, re.MULTILINE))
    assert list(rows) == ["network", "network, fused", "average", "average, fused"]
    assert rows["network"] == rows["network, fused"]
    assert rows["average"] == rows["average, fused"]
    found = json.loads((finished / "accuracy.json").read_text())
    # With the run's transform, which sees less of an image.
    assert list(found) == list(rows)
    assert all(0 <= each["top1"] <= each["top5"] <= 1 for each in found.values())
    assert (finished / "curves.png").is_file()
    report = (finished / "report.html").read_text()
    assert "Validation accuracy" in report or "Training chart: accuracy" in report
    assert "Class activation map of" in report
    assert str(finished) not in report
    states = [read_checkpoint(last)[key] for key in ("state_dict", "ema_state_dict")]
    lambdas = [next(v for k, v in s.items() if k.endswith("act_lambda")) for s in states]
    assert [float(value) for value in lambdas] == [1, 1]


@pytest.mark.slow
def test_killed_anywhere_it_resumes_to_the_same_weights(
    finished, command, run_tool, digit_images, tmp_path
):
    args = (digit_images, "--work-dir", tmp_path)
    for words in ((*QUICK, *WORKER), ("--resume",)):  # killed twice
        process = subprocess.Popen(
            command("pretrain", *args, *words, "--verbose"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        epoch = 3 if "--resume" in words else 2
        for line in process.stdout:
            if re.search(rf"Epoch\(train\)\s+\[{epoch}\]\[[23]/", line):
                os.kill(process.pid, signal.SIGKILL)
                break
        assert process.wait(timeout=60) == -signal.SIGKILL
    result = run_tool("pretrain", *args, "--resume")
    assert result.returncode == 0, result.stderr
    ours, theirs = (read_checkpoint(folder / "epoch_3.pth") for folder in (tmp_path, finished))
    assert_close(ours["state_dict"], theirs["state_dict"], rtol=0, atol=0)
    assert_close(ours["ema_state_dict"], theirs["ema_state_dict"], rtol=0, atol=0)
    accuracies = [json.loads((f / "accuracy.json").read_text()) for f in (tmp_path, finished)]
    assert accuracies[0] == accuracies[1]


@pytest.mark.slow
def test_resuming_keeps_settings_and_data(finished, tool, digit_images, tmp_path, capsys):
    again = ("--work-dir", finished, "--resume")
    assert tool("pretrain", digit_images, *again, "--lr", "0.1") == 2
    assert "omit --lr" in capsys.readouterr().err
    assert tool("pretrain", tmp_path, *again) == 2
    assert f"uses {digit_images}/train, not {tmp_path}" in capsys.readouterr().err
    before = (finished / "epoch_3.pth").read_bytes()
    assert tool("pretrain", *again) == 0
    assert (finished / "epoch_3.pth").read_bytes() == before


@pytest.mark.slow
def test_a_detector_starts_from_it(tool, digit_images, example, tmp_path, capsys):
    args = ("--model", "small", *QUICK[4:], "--epochs", "2", "--work-dir", tmp_path / "p")
    assert tool("pretrain", digit_images, *args) == 0
    last = tmp_path / "p/epoch_2.pth"
    args = ("--model", "small", "--weights", last, "--work-dir", tmp_path / "f", "--dry-run")
    assert tool("finetune", example, *args) == 0
    output = capsys.readouterr().out
    (row,) = re.findall(r"^backbone +(\d+) +\d+ +(\d+) +(\d+)", output, re.MULTILINE)
    kept, remade, missing = map(int, row)
    assert kept > 50
    assert remade == missing == 0


@pytest.mark.slow
def test_a_detector_takes_a_gresnet(tool, digit_images, example, tmp_path, capsys):
    args = ("--model", "gresnet50", *QUICK[2:], "--epochs", "1", "--work-dir", tmp_path / "p")
    assert tool("pretrain", digit_images, *args) == 0
    output = capsys.readouterr().out
    assert f"finetune DATA --weights {tmp_path}" in output
    rows = re.findall(r"^(network.*?)  +([\d.]+) +([\d.]+)$", output, re.MULTILINE)
    assert rows[0][1:] == rows[1][1:]  # fused and not
    args = ("--weights", tmp_path / "p/epoch_1.pth", "--work-dir", tmp_path / "f", "--dry-run")
    assert tool("finetune", example, *args) == 0
    model = Config.fromfile(tmp_path / "f/config/finetune.py").model
    assert (model.backbone.type, model.backbone.width) == ("GResNet", 8)
    listing = (tmp_path / "f/weights.txt").read_text()
    assert not re.findall(r"^(re-made|missing) +backbone\.", listing, re.MULTILINE)


@pytest.mark.slow
def test_a_detector_takes_a_backbone_of_any_width_and_series(tool, digit_images, example, tmp_path):
    series = ("--act-num", 2, "--act-base", "tanh", "--no-act-neighbours", "--width", 8)
    args = (*QUICK, "--epochs", "2", *series, "--work-dir", tmp_path / "p")
    assert tool("pretrain", digit_images, *args) == 0
    args = ("--weights", tmp_path / "p/epoch_2.pth", "--work-dir", tmp_path / "f", "--dry-run")
    assert tool("finetune", example, *args) == 0
    model = Config.fromfile(tmp_path / "f/config/finetune.py").model
    assert model.backbone.arch.dims[0] == 8
    assert model.neck.in_channels == [16, 32, 64]
    assert (model.backbone.act_num, model.backbone.act_base) == (2, "tanh")
    listing = (tmp_path / "f/weights.txt").read_text()
    assert len(re.findall(r"^kept +backbone\.", listing, re.MULTILINE)) > 50
    assert not re.findall(r"^(re-made|missing) +backbone\.", listing, re.MULTILINE)


@pytest.mark.slow
def test_two_processes(command, digit_images, tmp_path):
    python, *rest = command("pretrain", digit_images, "--work-dir", tmp_path, *QUICK)
    by = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    result = subprocess.run(
        [python, *by, *rest, "--batch-size", "8", "--launcher", "pytorch"],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("80 training images") == 1
    assert (tmp_path / "accuracy.json").is_file()


def save_published(path, classes=10, **both):
    network = VanillaNetTimm("5", classes)
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    args = argparse.Namespace(model="vanillanet_5")
    states = {key: value.state_dict() for key, value in (both or dict(model_ema=network)).items()}
    torch.save({**states, "args": args, "epoch": 299}, path)
    return path


@pytest.mark.slow
def test_published_testing(tool, digit_images, tmp_path, capsys):
    path = save_published(tmp_path / "vanillanet_5.pth")
    args = ("--input-size", "32", "--workers", "0")
    assert tool("pretrain", digit_images, "--evaluate", path, *args) == 0
    output = capsys.readouterr().out
    rows = re.findall(r"^(network.*?)  +([\d.]+) +([\d.]+)$", output, re.MULTILINE)
    assert [name for name, *_ in rows] == ["network", "network, fused"]
    assert rows[0][1:] == rows[1][1:]
    shutil.copytree(digit_images / "val", tmp_path / "alone/val")  # training images aren't needed
    assert tool("pretrain", tmp_path / "alone", "--evaluate", path, *args) == 0
    output = capsys.readouterr().out
    again = re.findall(r"^(network.*?)  +([\d.]+) +([\d.]+)$", output, re.MULTILINE)
    assert again == rows
    assert "training images" not in output


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nowhere"], "dataset nowhere: is no folder; expected the layout of ImageNet"),
        (["DATA", "--epochs", "0"], "--epochs 0: expected a positive integer"),
        (["DATA", "--model", "vanillanet99"], "--model vanillanet99: expected vanillanet5 to"),
        (["DATA", "--batch-size", "999"], "there are only 80 training images"),
        (["--model", "gresnet50", "--no-act-neighbours"], "--no-act-neighbours: not for gresnet50"),
        (["--model", "gresnet50", "--act-num", "0"], "--act-num 0: not for gresnet50; omit it"),
        (["--model", "gresnet50", "--deep", "cosine"], "gresnet50 has no lambda; omit it"),
        (["DATA", "--model", "timm:vgg11", "--drop-path", "0.1"], "timm:vgg11 has no blocks to"),
        (["DATA", "--drop-path", "1"], "--drop-path 1: the last block would never be trained"),
        (["DATA", "--colour-jitter", "0.2"], "--colour-jitter 0.2: timm leaves it out beside"),
        (["DATA", "--epochs", "5", "--deep-epochs", "5"], "--deep-epochs 5: lambda has to reach 1"),
        (["DATA", "--evaluate", "none.pth"], "none.pth: there is no such file"),
        (["DATA", "--teacher", "timm:nothing=FIVE"], "--teacher timm:nothing: Unknown model"),
        (["DATA", "--teacher", "timm:resnet18=FIVE"], "--teacher: FIVE: 0 of "),
        (["DATA", "--teacher", "timm:resnet18=no.pth"], "no.pth: there is no such file"),
        (["DATA", "--splits", "train", "train"], "--splits train train: expected two"),
        (["DATA", "--model", "timm:vit_tiny_patch16_224"], "--input-size 32x32: the network can't"),
        (["DATA", "--real"], "--real: only with --evaluate FILE"),
        (["DATA", "--optimizer", "nothing"], "--optimizer nothing: "),
        (["DATA", "--reader", "torch/nothing"], "can't be read as torch/nothing"),
        (["DATA", "--reader", "folder"], "--reader folder: expected one of timm's, torch/NAME"),
        (["DATA", "--resume"], "--resume: no pretraining run in"),
        (["DATA", "--device", "tpu"], "tpu"),
        (["DATA", "--auto-augment", "more"], "--auto-augment more: timm can't build"),
        (["DATA", "--real", "--evaluate", "FIVE"], "--real: expected the 50,000 validation images"),
    ],
)
def test_a_mistake_is_one_sentence(tool, digit_images, tmp_path, capsys, args, message):
    words = {"DATA": str(digit_images)}
    if any("FIVE" in each for each in args):
        five = str(save_published(tmp_path / "five.pth"))
        args = [each.replace("FIVE", five) for each in args]
        message = message.replace("FIVE", five)
    args = [words.get(each, each) for each in args]
    quick = [] if "--resume" in args or "--evaluate" in args else ["--input-size", "32"]
    quick += [] if "--epochs" in args else ["--epochs", "2"] if quick else []
    quick += ["--batch-size", "16"] if "--batch-size" not in args and quick else []
    assert tool("pretrain", *args, *quick, "--work-dir", tmp_path / "w") == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert error.count("\n") == 1


def test_unreadable_images_stop_the_run(tool, digit_images, tmp_path, capsys):
    data = shutil.copytree(digit_images, tmp_path / "data")
    for path in sorted(data.glob("train/3/*.png"))[:2]:
        path.write_bytes(b"no image")
    assert tool("pretrain", data, "--work-dir", tmp_path / "w", *QUICK) == 2
    error = capsys.readouterr().err
    assert re.search(r"train/3/\d+\.png: can't be read", error)
    assert "(and 1 more like it); replace the files" in error


def test_a_work_dir_with_a_run_is_not_overwritten(tool, digit_images, tmp_path, capsys):
    (tmp_path / "epoch_1.pth").touch()
    assert tool("pretrain", digit_images, "--work-dir", tmp_path, *QUICK) == 2
    assert "already contains a training run; resume it" in capsys.readouterr().err
