"""The command line that detects: what it takes, what it writes, and how it goes on."""

import csv
import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from vanillanet_det import load_detector
from vanillanet_det.inference import video

FILES = ["images.json", "results.csv", "results.json"]


@pytest.fixture
def folder(small_digits, tmp_path):
    """Pictures of several shapes, kinds and names, two of them alike but for the ending."""
    root = tmp_path / "my pictures"
    (root / "deeper/größer").mkdir(parents=True)
    scenes = [Image.open(path) for path in sorted((small_digits / "val").glob("*.png"))]
    scenes[0].save(root / "a.png")
    scenes[0].save(root / "a.jpg", quality=95)
    scenes[1].resize((200, 120)).save(root / "deeper/größer/b 图.PNG")
    scenes[2].quantize(64).save(root / "deeper/c.bmp")
    scenes[3].convert("CMYK").save(root / "d.jpg", quality=95)
    scenes[4].save(root / "e.tif")
    scenes[5].convert("L").save(root / "f.png")
    (root / "notes.txt").write_text("no picture")
    return root


NAMES = ["a.jpg", "a.png", "d.jpg", "deeper/c.bmp", "deeper/größer/b 图.PNG", "e.tif", "f.png"]


def read(out):
    """Detections by file name, through COCO's own tool."""
    coco = COCO(str(out / "images.json"))
    results = coco.loadRes(str(out / "results.json"))
    return {
        image["file_name"]: [
            (coco.cats[a["category_id"]]["name"], a["score"], *a["bbox"])
            for a in results.imgToAnns[image["id"]]
        ]
        for image in coco.dataset["images"]
    }


def assert_equal(found, expected):
    assert list(found) == list(expected)
    for name, rows in found.items():
        assert [row[0] for row in rows] == [row[0] for row in expected[name]]
        numbers = [[row[1:] for row in result[name]] for result in (found, expected)]
        np.testing.assert_allclose(*numbers, atol=2e-2)


def test_a_folder(detector_file, folder, tool, tmp_path):
    out = tmp_path / "results"
    assert tool("infer", detector_file, folder, "--out", out) == 0
    found = read(out)
    assert list(found) == NAMES
    assert sum(map(len, found.values())) > 20
    detector = load_detector(detector_file)
    for name in NAMES:
        expected = detector(folder / name)
        rows = [(d.name, d.score, *d.box[:2], *(d.box[2:] - d.box[:2])) for d in expected]
        assert_equal({name: found[name]}, {name: rows})
    image = json.loads((out / "images.json").read_text())["images"][4]
    assert image == dict(id=5, file_name=NAMES[4], width=200, height=120)

    with open(out / "results.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file", "class", "score", "x1", "y1", "x2", "y2"]
    assert len(rows) == sum(map(len, found.values()))
    name, score, left, top, width, height = found["a.jpg"][0]
    assert (rows[0]["file"], rows[0]["class"]) == ("a.jpg", name)
    box = [float(rows[0][key]) for key in ("score", "x1", "y1", "x2", "y2")]
    np.testing.assert_allclose(box, [score, left, top, left + width, top + height], atol=2e-3)

    drawn = {p.relative_to(out / "pictures").as_posix() for p in out.rglob("pictures/**/*.*")}
    expected = {n + ".png" if n.endswith(("bmp", "tif")) else n for n in NAMES}
    assert drawn == expected
    picture = np.asarray(Image.open(out / "pictures/a.png").convert("RGB"))
    assert (picture != np.asarray(Image.open(folder / "a.png").convert("RGB"))).any()
    assert Image.open(out / "pictures/deeper/größer/b 图.PNG").size == (200, 120)


def test_a_second_run_does_nothing_again_but_what_is_new(detector_file, folder, tool, tmp_path):
    out = folder / "results"  # whose drawings are no pictures to look at
    args = ["infer", detector_file, folder, "--out", out]
    assert tool(*args) == 0
    first = read(out)
    assert list(first) == NAMES
    lines = (out / "parts/0.jsonl").read_text().splitlines()
    times = {path: path.stat().st_mtime_ns for path in (out / "pictures").rglob("*.png")}
    shutil.copy(folder / "f.png", folder / "before.png")
    assert tool(*args) == 0
    assert (out / "parts/0.jsonl").read_text().splitlines()[:-1] == lines
    assert {path: path.stat().st_mtime_ns for path in times} == times
    second = read(out)
    assert list(second) == sorted([*NAMES, "before.png"])
    assert {name: second[name] for name in NAMES} == first


@pytest.mark.parametrize("change", [["--score", "0.2"], ["--no-draw"], ["MODEL"], ["INPUT"]])
def test_other_settings_in_the_same_folder_are_refused(
    change, detector_file, folder, save_detector, tool, tmp_path, capsys
):
    args = ["infer", detector_file, folder, "--out", tmp_path / "r"]
    assert tool(*args) == 0
    if change == ["MODEL"]:
        args[1] = save_detector(tmp_path / "other.pth", "mask_rcnn")
    elif change == ["INPUT"]:
        args[2] = folder / "deeper"
    else:
        args += change
    assert tool(*args) == 2
    assert "was begun with" in capsys.readouterr().err
    assert list(read(tmp_path / "r")) == NAMES


def test_unreadable_files_are_named_left_out_and_tried_again(
    detector_file, folder, tool, tmp_path, capsys
):
    good = (folder / "d.jpg").read_bytes()
    (folder / "d.jpg").write_bytes(good[:100])
    (folder / "g.png").touch()
    args = ["infer", detector_file, folder, "--out", tmp_path / "r"]
    assert tool(*args) == 1
    error = capsys.readouterr().err
    assert "d.jpg: can't be read" in error
    assert "g.png: can't be read" in error
    assert "2 pictures can't be read and left out" in error
    assert "annotation file" not in error
    assert list(read(tmp_path / "r")) == [name for name in NAMES if name != "d.jpg"]
    (folder / "d.jpg").write_bytes(good)
    assert tool(*args) == 1
    assert "1 picture can't be read" in capsys.readouterr().err
    assert list(read(tmp_path / "r")) == NAMES


def test_lines_without_out_in_order(detector_file, folder, tool, capsys):
    assert tool("infer", detector_file, folder, "--batch-size", 2, "--device", "cpu") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[0] for line in lines] == NAMES
    found = load_detector(detector_file)(folder / "a.jpg")
    assert lines[0].startswith(f"a.jpg: {len(found)} (")
    assert sorted(path.name for path in folder.parent.iterdir()) == ["my pictures"]


def test_a_pattern_and_a_picture(detector_file, folder, tool, tmp_path, capsys):
    assert tool("infer", detector_file, folder / "**/*.[jp]*g") == 0
    names = [line.partition(": ")[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["a.jpg", "a.png", "d.jpg", "f.png"]
    assert tool("infer", detector_file, folder / "a.jpg", "--out", tmp_path / "x.png") == 0
    assert Image.open(tmp_path / "x.png").size == (160, 160)
    assert tool("infer", detector_file, folder / "a.jpg", "--out", tmp_path / "x") == 0
    assert list(read(tmp_path / "x")) == ["a.jpg"]


@pytest.mark.parametrize(
    ("source", "options", "said"),
    [
        ("nothing", [], "nothing: there is no such file or folder; expected a picture"),
        ("empty", [], "no picture in this folder or below"),
        ("no*.jpg", [], "no picture has such a name"),
        ("camera:7", [], "camera:7: there is no such camera"),
        ("v.mp4", [], "v.mp4: can't be read as a video"),
        ("my pictures", ["--out", "a.jpg"], "--out a.jpg: is one picture"),
        ("my pictures", ["--out", "v.mp4"], "--out v.mp4: is a file"),
        ("my pictures", ["--out", "/proc/a"], "--out /proc/a: can't be written"),
        ("my pictures", ["--batch-size", "0"], "--batch-size 0: expected a positive number"),
        ("my pictures", ["--score", "7"], "score 7"),
        ("my pictures", ["--device", "toaster"], "device toaster: can't be used"),
        ("my pictures", ["--config", "no.py"], "config no.py: there is no such file"),
    ],
)
def test_wrong_arguments(
    source, options, said, detector_file, folder, tool, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("v.mp4").write_bytes(b"no video")
    assert tool("infer", detector_file, source, *options) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert said in error


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
    """Stands in for a camera: shows a video again and again, until Ctrl-C.

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


def test_a_camera_until_somebody_ends_it(detector_file, clip, tool, tmp_path, monkeypatch):
    monkeypatch.setattr(Interrupted, "clip", str(clip), raising=False)
    monkeypatch.setattr(video.cv2, "VideoCapture", Interrupted)
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
    monkeypatch.setattr(video.cv2, "VideoCapture", Interrupted)
    assert tool("infer", detector_file, clip, "--out", tmp_path / "r") == 130
    assert "nothing of a clip.mp4 is kept" in capsys.readouterr().err
    assert not list((tmp_path / "r").iterdir())


def test_masks(save_detector, folder, tool, tmp_path):
    file = save_detector(tmp_path / "masks.pth", "mask_rcnn")
    out = tmp_path / "r"
    assert tool("infer", file, folder / "a.png", "--out", out, "--score", "0.0") == 0
    coco = COCO(str(out / "images.json")).loadRes(str(out / "results.json"))
    assert len(coco.anns) > 0
    assert all(coco.annToMask(annotation).shape == (160, 160) for annotation in coco.anns.values())


@pytest.fixture
def many(small_digits, tmp_path):
    """60 pictures of two shapes."""
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
    pytest.fail(f"{count} lines did not come: {process.communicate()}")


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_was_ended_goes_on_to_the_same_results(
    how, detector_file, many, command, tool, tmp_path
):
    whole, out = tmp_path / "whole", tmp_path / "ended"
    process = start(command, detector_file, many, "--out", out, "--batch-size", 1)
    wait_for_lines(out, 5, process)
    process.send_signal(how)
    _, error = process.communicate(timeout=60)
    assert process.returncode == (130 if how == signal.SIGINT else -how)
    if how == signal.SIGINT:
        assert "of 60 pictures are finished; the same command goes on from there" in error
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
def test_processes_of_torchrun_share_a_folder(detector_file, many, command, tool, tmp_path):
    (many / "007.png").write_bytes(b"no picture")
    out, alone = tmp_path / "r", tmp_path / "alone"
    python, *rest = command("infer", detector_file, many, "--out", out, "--threads", 1)
    by = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    result = subprocess.run([python, *by, *rest], capture_output=True, text=True, timeout=300)
    assert result.returncode == 1, result.stderr
    assert result.stderr.count("1 picture can't be read and left out") == 1
    assert result.stdout.count("59 pictures") == 1
    shares = [(out / f"parts/{rank}.jsonl").read_text().splitlines() for rank in (0, 1)]
    assert list(map(len, shares)) == [30, 30]
    assert tool("infer", detector_file, many, "--out", alone) == 1
    assert_equal(read(out), read(alone))


def test_ranks_take_turns_and_the_last_one_writes(detector_file, many, tool, tmp_path, monkeypatch):
    out = tmp_path / "r"
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("1", "0"):
        assert not (out / "results.json").exists()
        monkeypatch.setenv("RANK", rank)
        assert tool("infer", detector_file, many, "--out", out, "--no-draw") == 0
    assert len(read(out)) == 60
    assert not (out / "pictures").exists()
