"""A folder that an interrupted run left is completed by the same command."""

import json
import signal

import cv2
import numpy as np
import pytest

from vanillanet_det.runtime.records import fingerprint

NAMES = [f"{index:02d}.png" for index in range(40)]


@pytest.fixture
def folder(tmp_path):
    """40 images, large enough to interrupt a run over them."""
    root = tmp_path / "many"
    root.mkdir()
    random = np.random.RandomState(0)
    for name in NAMES:
        cv2.imwrite(str(root / name), random.randint(0, 256, (360, 480, 3), np.uint8))
    return root


def read(out):
    images = json.loads((out / "images.json").read_text())["images"]
    return [image["file_name"] for image in images], json.loads((out / "results.json").read_text())


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_the_same_command_resumes_without_pytorch(
    how, start_bare, bare, command, onnx_file, folder, tmp_path, capsys
):
    out, uninterrupted = tmp_path / "interrupted", tmp_path / "uninterrupted"
    args = ("-m", "vanillanet_det.runtime", onnx_file, folder, "--batch-size", 1, "--out", out)
    process = start_bare(*args)
    first = [process.stdout.readline().partition(":")[0] for _ in range(4)]
    assert first == NAMES[:4]
    process.send_signal(how)
    _, error = process.communicate(timeout=60)
    assert process.returncode == (130 if how == signal.SIGINT else -how)
    part = out / "parts/0.jsonl"
    finished = part.read_bytes().count(b"\n")
    assert 3 <= finished < 40
    if how == signal.SIGINT:
        assert error == (
            f"interrupted: {finished} of 40 images are finished; run the same command to resume\n"
        )
        assert read(out)[0] == NAMES[:finished]
    part.write_bytes(part.read_bytes() + b'{"file": "39.png", "wid')  # as a full disk leaves it
    drawn = {path: path.stat().st_mtime_ns for path in (out / "pictures").iterdir()}
    done = bare(*args)
    assert (done.returncode, done.stderr) == (0, "")
    *lines, last = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == NAMES[finished:]
    assert last.startswith("40 images, ")
    assert sorted(path.name for path in (out / "pictures").iterdir()) == NAMES
    kept = [path for path, time in drawn.items() if path.stat().st_mtime_ns == time]
    assert len(kept) >= finished
    assert command(onnx_file, folder, "--out", uninterrupted) == 0
    assert read(out) == read(uninterrupted)


def test_a_folder_of_an_earlier_version_is_completed(command, onnx_file, folder, tmp_path, capsys):
    parts = tmp_path / "r/parts"
    parts.mkdir(parents=True)
    settings = dict(model=fingerprint(onnx_file), config=None, input=str(folder.resolve()))
    (parts / "settings.json").write_text(json.dumps({**settings, "score": 1.0, "draw": True}))
    row = dict(image_id=0, category_id=2, bbox=[1.0, 2.0, 3.0, 4.0], score=0.5)
    record = dict(width=480, height=360, detections=[row])
    for rank in (0, 1):  # of two processes
        lines = [json.dumps(dict(file=name, **record)) + "\n" for name in NAMES[rank:6:2]]
        (parts / f"{rank}.jsonl").write_text("".join(lines))
    assert command(onnx_file, folder, "--score", 1, "--out", tmp_path / "r") == 0
    printed = [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert printed[:-1] == NAMES[6:]
    names, results = read(tmp_path / "r")
    assert names == NAMES
    assert results == [{**row, "image_id": image_id} for image_id in range(1, 7)]


def test_other_settings_are_refused(command, onnx_file, xml_file, folder, tmp_path, capsys):
    args = (folder, "--out", tmp_path / "r")
    assert command(onnx_file, *args) == 0
    before = read(tmp_path / "r")
    for other in ((onnx_file, *args, "--score", 0.5), (xml_file, *args)):
        assert command(*other) == 2
        error = capsys.readouterr().err
        assert "r: was started with " in error
        assert "choose another folder, or remove this one to start over" in error
    assert read(tmp_path / "r") == before


def test_unreadable_images_are_retried(command, onnx_file, folder, tmp_path, capsys):
    good = (folder / "07.png").read_bytes()
    (folder / "07.png").write_bytes(b"not an image")
    args = (onnx_file, folder, "--out", tmp_path / "r")
    for _ in range(2):
        assert command(*args) == 1
        assert "skipped 1 image that can't be read" in capsys.readouterr().err
        assert read(tmp_path / "r")[0] == [name for name in NAMES if name != "07.png"]
    (folder / "07.png").write_bytes(good)
    assert command(*args) == 0
    assert [line[:6] for line in capsys.readouterr().out.splitlines()] == ["07.png", "40 ima"]
    assert read(tmp_path / "r")[0] == NAMES
