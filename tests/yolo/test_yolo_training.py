"""Ultralytics trains it: deep training, averaged weights, resuming, reading in other processes."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from torch.testing import assert_close

ultralytics = pytest.importorskip("ultralytics", reason="needs the extra yolo")

from ultralytics import YOLO  # noqa: E402
from ultralytics.nn import tasks  # noqa: E402

from vanillanet_det import UserError  # noqa: E402
from vanillanet_det.yolo import deep_training, load_backbone  # noqa: E402
from vanillanet_det.yolo.data import write_yolo  # noqa: E402

SETTINGS = dict(imgsz=64, batch=8, workers=0, plots=False, verbose=False, val=False, amp=False)
SETTINGS.update(optimizer="AdamW", lr0=0.001, seed=0, device="cpu", exist_ok=True, mosaic=0.0)


@pytest.fixture(scope="module")
def data(small_digits, tmp_path_factory):
    splits = {
        name: json.loads((small_digits / f"annotations/instances_{name}.json").read_text())
        for name in ("train", "val")
    }
    for name, coco in splits.items():
        for image in coco["images"]:
            image["file_name"] = f"{name}/{image['file_name']}"
    path, crowds = write_yolo(splits, small_digits, tmp_path_factory.mktemp("yolo_data"))
    assert crowds == 0
    return path


@pytest.fixture
def lambdas(monkeypatch):
    """Lambda of the network and of the averaged one, in and at the end of each epoch."""
    found = []
    own = deep_training.DetectionTrainer.run_callbacks

    def run_callbacks(self, event):
        own(self, event)
        if event in ("on_train_batch_start", "on_fit_epoch_end"):
            average = self.ema.ema.model[0].read_lambda()
            found.append((event, self.model.model[0].read_lambda(), average))

    monkeypatch.setattr(deep_training.DetectionTrainer, "run_callbacks", run_callbacks)
    return found


def test_lambda_rises_and_the_average_follows(narrow, data, lambdas, tmp_path):
    yolo = YOLO(narrow["detect"])
    yolo.train(data=str(data), epochs=6, project=str(tmp_path), name="run", **SETTINGS)
    inside = [each[1] for each in lambdas if each[0] == "on_train_batch_start"]
    batches = len(inside) // 6
    assert inside[::batches] == pytest.approx([0, 0.5, 1, 1, 1, 1])
    ends = [each[1:] for each in lambdas if each[0] == "on_fit_epoch_end"][:6]
    assert ends == [(value, value) for value, _ in ends]
    assert ends[-1] == (1.0, 1.0)
    model = YOLO(tmp_path / "run/weights/last.pt").model
    assert model.model[0].read_lambda() == 1
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = model.eval()(image)[0]
        fused = model.fuse(verbose=False)
        assert fused.model[0].deploy
        assert_close(fused(image)[0], before, rtol=1e-3, atol=1e-2)


def test_weights_of_a_backbone_keep_lambda_1(narrow, data, lambdas, tmp_path):
    state = YOLO(narrow["detect"]).model.model[0].state_dict()
    torch.save(state, tmp_path / "backbone.pth")
    yolo = load_backbone(YOLO(narrow["detect"]), tmp_path / "backbone.pth")
    frozen = dict(SETTINGS, freeze=1)
    yolo.train(data=str(data), epochs=2, project=str(tmp_path), name="run", **frozen)
    assert {each[1:] for each in lambdas} == {(1.0, 1.0)}
    # Training began from them: the frozen layers have them still.
    trained = YOLO(tmp_path / "run/weights/last.pt").model.model[0].state_dict()
    for name in (name for name in state if "running" not in name):  # 8.3 goes on with statistics
        value = state[name]
        assert_close(trained[name].to(value.dtype), value, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("share", [1, -0.1, "half", True])
def test_a_wrong_share(narrow, data, tmp_path, share):
    text = narrow["detect"].read_text()
    path = tmp_path / "yolo11n-wrong.yaml"
    path.write_text(text.replace("deep_training: 0.33", f"deep_training: {share}"))
    yolo = YOLO(path)
    with pytest.raises(UserError, match=rf"deep_training {share!r}; expected the share"):
        yolo.train(data=str(data), epochs=2, project=str(tmp_path), **SETTINGS)


def test_segmentation_trains(narrow):
    assert YOLO(narrow["segment"])._smart_load("trainer") is deep_training.SegmentationTrainer


SCRIPT = """
import sys
import vanillanet_det.yolo
from ultralytics import YOLO

if __name__ == "__main__":
    yaml, data, folder, settings = sys.argv[1], sys.argv[2], sys.argv[3], eval(sys.argv[4])
    if yaml.endswith(".pt"):
        YOLO(yaml).train(resume=True)
    else:
        YOLO(yaml).train(data=data, epochs=8, project=folder, name="run", **settings)
"""


def start(folder, *args):
    (folder / "run.py").write_text(SCRIPT)
    command = [sys.executable, folder / "run.py", *map(str, args), repr(SETTINGS)]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.mark.slow
def test_it_goes_on_after_sigkill(narrow, data, tmp_path):
    process = start(tmp_path, narrow["detect"], data, tmp_path)
    last = tmp_path / "run/weights/last.pt"
    end = time.monotonic() + 120
    while time.monotonic() < end and not (last.exists() and epochs(tmp_path) >= 2):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = torch.load(last, weights_only=False)["ema"]  # own file
    assert before.model[0].read_lambda() < 1
    assert epochs(tmp_path) < 8
    process = start(tmp_path, last, data, tmp_path)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output.decode()
    assert epochs(tmp_path) == 8
    model = YOLO(last).model
    assert model.model[0].read_lambda() == 1
    assert model.yaml["deep_training_start"] == 0


def epochs(folder):
    table = folder / "run/results.csv"
    rows = table.read_text().splitlines() if table.exists() else []
    return int(rows[-1].partition(",")[0]) if len(rows) > 1 else 0  # a repeated one has two rows


READ = """
import sys, torch
from ultralytics import YOLO

yolo = YOLO(sys.argv[1])
yolo.fuse()
print(type(yolo.model.model[0]).__module__, yolo.model.model[0].deploy)
"""


@pytest.fixture(scope="module")
def checkpoint(narrow, tmp_path_factory):
    yolo = YOLO(narrow["detect"])
    path = tmp_path_factory.mktemp("saved") / "saved.pt"
    yolo.save(path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("safe", [False, True])
def test_another_process_reads_it(checkpoint, safe):
    code = READ
    if safe:
        if not hasattr(tasks, "_SafeLoad") or not tasks._SafeLoad.SUPPORTED:
            pytest.skip("needs Ultralytics 8.4 and PyTorch 2.6")
        code = f"import vanillanet_det.yolo\n{READ}"
    environment = {**os.environ, "ULTRALYTICS_SAFE_LOAD": "1" if safe else "0"}
    result = subprocess.run(
        [sys.executable, "-c", code, checkpoint],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "vanillanet_det.yolo.backbone True" in result.stdout


@pytest.mark.slow
def test_the_module_of_the_trainer_registers_the_network():
    # A process of DistributedDataParallel imports no more than that.
    code = f"import {deep_training.__name__}\nfrom ultralytics.nn import tasks\ntasks.VanillaNet"
    subprocess.run([sys.executable, "-c", code], check=True)
