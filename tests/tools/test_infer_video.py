"""Videos and cameras with `vanillanet-det infer`."""

import json
import os
import shutil
import signal
import time

import cv2
import pytest

from vanillanet_det.runtime.outputs import FILES


@pytest.fixture
def clip(small_digits, tmp_path):
    """A video of 7 frames at 10 frames per second."""
    path = tmp_path / "a clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (160, 160))
    scenes = sorted((small_digits / "val").glob("*.png"))
    for scene in (*scenes, scenes[0]):
        writer.write(cv2.imread(str(scene)))
    writer.release()
    return path


def test_a_video(detector_file, clip, tool, tmp_path, capsys):
    out = tmp_path / "r"
    assert tool("infer", detector_file, clip, "--out", out) == 0
    assert sorted(path.name for path in out.iterdir()) == sorted([*FILES, "a clip.mp4"])
    drawn = cv2.VideoCapture(str(out / "a clip.mp4"))
    assert (drawn.get(cv2.CAP_PROP_FRAME_COUNT), drawn.get(cv2.CAP_PROP_FPS)) == (7, 10)
    images = json.loads((out / "images.json").read_text())["images"]
    assert [image["frame"] for image in images] == [image["id"] for image in images]
    assert images[6] == dict(id=7, file_name="a clip.mp4", width=160, height=160, frame=7)
    results = json.loads((out / "results.json").read_text())
    assert {1, 7} <= {row["image_id"] for row in results} <= set(range(1, 8))
    header, *rows = (out / "results.csv").read_text().splitlines()
    assert header == "file,frame,class,score,x1,y1,x2,y2"
    assert len(rows) == len(results)
    assert tool("infer", detector_file, clip) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.partition(":")[0] for line in lines] == [f"a clip.mp4 {n}" for n in range(1, 8)]


VideoCapture = cv2.VideoCapture


class Interrupted:
    """Stands in for a camera: plays a video in a loop, until Ctrl-C.

    Not a subclass, which OpenCV's classes don't survive.
    """

    left = 12

    def __init__(self, address):
        self.capture = VideoCapture(address if isinstance(address, str) else self.clip)

    def __getattr__(self, name):
        return getattr(self.capture, name)

    def read(self):
        self.left -= 1
        if self.left == -1:
            signal.raise_signal(signal.SIGINT)
            time.sleep(0.5)
        found, frame = self.capture.read()
        if not found:
            self.capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
            found, frame = self.capture.read()
        return found, frame


@pytest.mark.slow
def test_a_camera_until_it_is_interrupted(detector_file, clip, tool, tmp_path, monkeypatch):
    monkeypatch.setattr(Interrupted, "clip", str(clip), raising=False)
    monkeypatch.setattr(cv2, "VideoCapture", Interrupted)
    out = tmp_path / "r"
    assert tool("infer", detector_file, "camera:0", "--out", out) == 0
    assert sorted(path.name for path in out.iterdir()) == sorted([*FILES, "camera0.mp4"])
    images = json.loads((out / "images.json").read_text())["images"]
    assert 8 <= len(images) <= 13
    assert [image["frame"] for image in images] == list(range(1, len(images) + 1))


def test_an_interrupted_video_leaves_nothing(
    detector_file, clip, tool, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(Interrupted, "left", 5)
    monkeypatch.setattr(cv2, "VideoCapture", Interrupted)
    assert tool("infer", detector_file, clip, "--out", tmp_path / "r") == 130
    assert "discarded the results of a clip.mp4" in capsys.readouterr().err
    assert not list((tmp_path / "r").iterdir())


@pytest.mark.parametrize(
    ("name", "out", "message"),
    [
        ("clips/clip.mp4", "clips", "would replace clips/clip.mp4, which is part of INPUT"),
        ("clip.mp4", ".", "would replace clip.mp4, which is part of INPUT"),
        ("clip.mov", ".", "would replace clip.mp4, which no earlier run drew from clip.mov"),
    ],
)
def test_no_video_is_replaced(name, out, message, clip, tool, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    os.mkdir("clips")
    for target in ("clips/clip.mp4", "clip.mp4", "clip.mov"):
        shutil.copy(clip, target)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert tool("infer", "nothing.pth", name, "--out", out) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: --out {out}: the drawing {message}")
    assert error.count("\n") == 1
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_video_with_a_long_name_is_drawn_twice(detector_file, clip, tool, tmp_path):
    long = clip.rename(tmp_path / f"{'x' * 251}.mp4")
    for _ in range(2):
        assert tool("infer", detector_file, long, "--out", tmp_path / "r") == 0
        assert sorted(os.listdir(tmp_path / "r")) == sorted([*FILES, long.name])


def test_a_name_that_would_crash_opencv_is_one_sentence(detector_file, clip, tool, tmp_path, capfd):
    latin = clip.rename(tmp_path / os.fsdecode(b"caf\xe9.mp4"))
    assert tool("infer", detector_file, latin) == 2
    error = capfd.readouterr().err
    assert "OpenCV can't open a video whose name isn't valid UTF-8" in error
    assert error.count("\n") == 1
    out = tmp_path / os.fsdecode(b"\xe9")
    assert tool("infer", detector_file, latin.rename(tmp_path / "a.mp4"), "--out", out) == 2
    assert "a video whose name isn't valid UTF-8; rename it" in capfd.readouterr().err
