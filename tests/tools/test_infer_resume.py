"""Folders that several runs or processes of `vanillanet-det infer` share."""

import json
import signal
import subprocess
import time

import pytest
from inferred import assert_equal, read
from PIL import Image


@pytest.fixture
def many(small_digits, tmp_path):
    """60 images of two shapes."""
    root = tmp_path / "many"
    root.mkdir()
    scenes = sorted((small_digits / "val").glob("*.png"))
    for index in range(60):
        with Image.open(scenes[index % 6]) as scene:
            scene.resize((160, 120 + 40 * (index % 3 == 0))).save(root / f"{index:03d}.png")
    return root


def start(command, *args, **kwargs):
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return subprocess.Popen(command("infer", *args), **pipes, **kwargs)


def wait_for_lines(out, count, process):
    part = out / "parts/0.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if part.is_file() and part.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.005)
    pytest.fail(f"{count} lines were not written: {process.communicate()}")


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_run_resumes_to_the_same_results(
    how, detector_file, many, command, tool, tmp_path
):
    whole, out = tmp_path / "whole", tmp_path / "ended"
    process = start(command, detector_file, many, "--out", out, "--batch-size", 1)
    wait_for_lines(out, 5, process)
    process.send_signal(how)
    _, error = process.communicate(timeout=60)
    assert process.returncode == (130 if how == signal.SIGINT else -how)
    if how == signal.SIGINT:
        assert "of 60 images are finished; run the same command to resume" in error
        assert "Traceback" not in error
    assert not (out / "results.json").exists()
    part = out / "parts/0.jsonl"
    before = part.read_bytes()
    assert 5 <= before.count(b"\n") < 60
    part.write_bytes(before + b'{"file": "059.png", "wid')  # as a full disk leaves it
    assert tool("infer", detector_file, many, "--out", out) == 0
    assert tool("infer", detector_file, many, "--out", whole) == 0
    lines = [json.loads(line)["file"] for line in part.read_text().splitlines()]
    assert sorted(lines) == sorted(set(lines)) == [f"{index:03d}.png" for index in range(60)]
    assert part.read_bytes().startswith(before)
    assert_equal(read(out), read(whole))
    drawn = [sorted(p.name for p in (d / "pictures").iterdir()) for d in (out, whole)]
    assert drawn[0] == drawn[1] == sorted(lines)


@pytest.mark.slow
def test_torchrun_processes_share_a_folder(detector_file, many, command, tool, tmp_path):
    (many / "007.png").write_bytes(b"not an image")
    out, alone = tmp_path / "r", tmp_path / "alone"
    python, *rest = command("infer", detector_file, many, "--out", out, "--threads", 1)
    by = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    result = subprocess.run([python, *by, *rest], capture_output=True, text=True, timeout=300)
    assert result.returncode == 1, result.stderr
    assert result.stderr.count("skipped 1 image that can't be read") == 1
    assert result.stdout.count("59 images") == 1
    shares = [(out / f"parts/{rank}.jsonl").read_text().splitlines() for rank in (0, 1)]
    assert list(map(len, shares)) == [30, 30]
    assert tool("infer", detector_file, many, "--out", alone) == 1
    assert_equal(read(out), read(alone))


@pytest.mark.slow
def test_the_last_rank_writes_the_results(detector_file, many, tool, tmp_path, monkeypatch):
    out = tmp_path / "r"
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("1", "0"):
        assert not (out / "results.json").exists()
        monkeypatch.setenv("RANK", rank)
        assert tool("infer", detector_file, many, "--out", out, "--no-draw") == 0
    assert len(read(out)) == 60
    assert not (out / "pictures").exists()
