"""Ctrl-C on a real terminal, and resuming after it."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest

from vanillanet_det.checkpoints import read_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("interruption")]
CTRL_C = b"\x03"
# A step takes long enough to be met, and workers still exist at the end of an epoch.
SLOW = """
import time
from mmdet.registry import HOOKS, LOOPS
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop

@LOOPS.register_module()
class OwnLoop(EpochBasedTrainLoop):
    pass

@HOOKS.register_module()
class Slow(Hook):
    def before_train_iter(self, runner, *args, **kwargs):
        time.sleep(0.1)
    before_val_iter = before_train_iter
"""
CONFIG = """
_base_ = ["{base}"]
custom_imports = dict(imports=["vanillanet_det", "slow"])
custom_hooks = [dict(type="Slow")]
loader = dict(num_workers=2, persistent_workers=True)
train_dataloader = loader
val_dataloader = dict(dataset=dict(indices=4), **loader)
train_cfg = dict(max_epochs=2)
"""
BY_ITERATIONS = """
train_cfg = dict(_delete_=True, type="IterBasedTrainLoop", max_iters=200, val_interval=200)
train_dataloader["sampler"] = dict(type="InfiniteSampler")
log_processor = dict(by_epoch=False)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=200))
param_scheduler = []
"""
BY_OWN_LOOP = """
train_cfg["type"] = "OwnLoop"
"""


class Terminal:
    """A process with its own terminal."""

    def __init__(self, command, env):
        pid, self.master = pty.fork()
        if pid == 0:
            for number in (signal.SIGINT, signal.SIGTERM):  # ignored by a job in the background
                signal.signal(number, signal.SIG_DFL)
            os.execve(sys.executable, command, env)  # noqa: S606
        # Without a size tqdm draws nothing.
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.pid, self.text = pid, ""

    def read(self, pattern=None):
        """Read until a pattern is there, or to the end."""
        while pattern is None or not re.search(pattern, self.text):
            try:
                self.text += os.read(self.master, 4096).decode()
            except OSError:  # the end
                assert pattern is None, self.text
                return

    def press(self, key):
        os.write(self.master, key)

    def end(self):
        self.read()
        os.close(self.master)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slow")
    (folder / "slow.py").write_text(SLOW)
    return {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "COLUMNS": "120"}


@pytest.fixture(scope="module")
def config(small_config, tmp_path_factory):
    path = tmp_path_factory.mktemp("configs") / "interrupted.py"
    path.write_text(CONFIG.format(base=small_config))
    return path


def test_ctrl_c_in_an_epoch_and_in_a_validation(config, command, environment, tmp_path):
    args = (config, "--work-dir", tmp_path, "--verbose", "--cfg-options", "randomness.seed=0")
    resume = f"Resume: python -m vanillanet_det_tools train {' '.join(map(str, args))} --resume"

    terminal = Terminal(command("train", *args), environment)
    terminal.read(r"Epoch\(train\) +\[1\]\[2/6\]")
    terminal.press(CTRL_C)
    assert terminal.end() == 130, terminal.text
    (done,) = re.findall(
        r"Interrupted \(SIGINT\) after iteration (\d) of 12, saved as (\S+)\. (.*?)\r?\n",
        terminal.text,
    )
    assert done[1:] == (str(tmp_path / "interrupted.pth"), resume)
    assert 2 <= int(done[0]) <= 5
    assert "Traceback" not in terminal.text
    meta = read_checkpoint(tmp_path / "interrupted.pth")["meta"]
    assert (meta["epoch"], meta["iter"]) == (0, int(done[0]))

    terminal = Terminal(command("train", *args, "--resume"), environment)
    terminal.read(r"epoch 1/2 validating 1/2")
    terminal.press(CTRL_C)
    assert terminal.end() == 130, terminal.text
    left = f"saved as {tmp_path}/epoch_1.pth; its validation is pending. {resume}"
    assert f"after iteration 6 of 12, {left}" in terminal.text
    assert "Traceback" not in terminal.text
    batches = re.findall(r"Epoch\(train\) +\[(\d)\]\[(\d)/6\]", terminal.text)
    assert batches == [("1", str(batch)) for batch in range(int(done[0]) + 1, 7)]
    assert not (tmp_path / "interrupted.pth").exists()

    terminal = Terminal(command("train", *args, "--resume"), environment)
    assert terminal.end() == 0, terminal.text
    assert read_checkpoint(tmp_path / "epoch_2.pth")["meta"]["iter"] == 12
    before, after = terminal.text.split("Epoch(train)", 1)
    assert "Epoch(val) [1][2/2]" in before
    assert "Epoch(val) [2][2/2]" in after
    assert not (tmp_path / "validation_left").exists()
    check_bar(terminal.text)


def check_bar(text):
    """All that a terminal shows of a line is what follows the last return to its start."""
    lines = [line.rpartition("\r")[2] for line in re.sub(r"\r+\n", "\n", text).split("\n")]
    logged = [line for line in lines if "Epoch(train)" in line]
    assert len(logged) == 6
    assert all(re.match(r"\d\d/\d\d \d\d:\d\d:\d\d ", line) for line in logged), logged
    assert not any("it/s" in line for line in logged)
    assert re.search(r"epoch 2/2: .*\| 9/12 \[.*<.*it.*loss \d+\.\d+", text)
    assert "epoch 2/2 validating 1/2" in text
    ap = float(re.findall(r"coco/bbox_mAP: +(-?[\d.]+)", text)[-1])
    assert re.search(rf"12/12 \[.*AP {ap:.3f}, best {ap:.3f}", lines[-2] + lines[-1])


@pytest.mark.parametrize(
    "more", ["", BY_ITERATIONS, BY_OWN_LOOP], ids=["epochs", "iterations", "own loop"]
)
def test_sigterm_to_all_processes(config, more, command, environment, tmp_path):
    """As a batch system sends it: a worker that dies of it would take the training with it."""
    own = tmp_path / "own.py"
    own.write_text(config.read_text() + more)
    process = subprocess.Popen(
        command("train", own, "--work-dir", tmp_path, "--verbose"),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    before = ""
    for line in process.stdout:
        before += line
        if re.search(r"(Epoch\(train\)\s+\[1\]|Iter\(train\)\s+)\[ *2/", line):
            os.killpg(process.pid, signal.SIGTERM)
            break
    start = time.monotonic()
    out, error = process.communicate(timeout=60)
    assert process.returncode == 143, error
    assert "Interrupted (SIGTERM) after iteration" in out
    assert "Traceback" not in error
    assert ("OwnLoop restarts an interrupted epoch" in before) == (more == BY_OWN_LOOP)
    assert time.monotonic() - start < 30, "workers were waited for"
    assert (tmp_path / "interrupted.pth").is_file()
