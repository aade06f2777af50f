"""`vanillanet-det infer`: its input, its output, and how it resumes."""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from inferred import assert_equal, read
from PIL import Image
from pycocotools.coco import COCO

from vanillanet_det import load_detector


@pytest.fixture
def folder(small_digits, tmp_path):
    """Images of several shapes, formats and names, two of which differ only in their suffix."""
    root = tmp_path / "my images"
    (root / "deeper/größer").mkdir(parents=True)
    scenes = [Image.open(path) for path in sorted((small_digits / "val").glob("*.png"))]
    scenes[0].save(root / "a.png")
    scenes[0].save(root / "a.jpg", quality=95)
    scenes[1].resize((200, 120)).save(root / "deeper/größer/b 图.PNG")
    scenes[2].quantize(64).save(root / "deeper/c.bmp")
    scenes[3].convert("CMYK").save(root / "d.jpg", quality=95)
    scenes[4].save(root / "e.tif")
    scenes[5].convert("L").save(root / "f.png")
    (root / "notes.txt").write_text("not an image")
    return root


NAMES = ["a.jpg", "a.png", "d.jpg", "deeper/c.bmp", "deeper/größer/b 图.PNG", "e.tif", "f.png"]


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
    image = np.asarray(Image.open(out / "pictures/a.png").convert("RGB"))
    assert (image != np.asarray(Image.open(folder / "a.png").convert("RGB"))).any()
    assert Image.open(out / "pictures/deeper/größer/b 图.PNG").size == (200, 120)


def test_a_second_run_processes_only_new_images(detector_file, folder, tool, tmp_path):
    out = folder / "results"  # whose drawings are ignored
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
    assert "was started with" in capsys.readouterr().err
    assert list(read(tmp_path / "r")) == NAMES


def test_unreadable_files_are_reported_skipped_and_retried(
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
    assert "skipped 2 images that can't be read" in error
    assert "annotation file" not in error
    assert list(read(tmp_path / "r")) == [name for name in NAMES if name != "d.jpg"]
    (folder / "d.jpg").write_bytes(good)
    assert tool(*args) == 1
    assert "skipped 1 image that can't be read" in capsys.readouterr().err
    assert list(read(tmp_path / "r")) == NAMES


def test_lines_without_out_in_order(detector_file, folder, tool, capsys):
    assert tool("infer", detector_file, folder, "--batch-size", 2, "--device", "cpu") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[0] for line in lines] == NAMES
    found = load_detector(detector_file)(folder / "a.jpg")
    assert lines[0].startswith(f"a.jpg: {len(found)} (")
    assert sorted(path.name for path in folder.parent.iterdir()) == ["my images"]


def test_a_pattern_and_an_image(detector_file, folder, tool, tmp_path, capsys):
    assert tool("infer", detector_file, folder / "**/*.[jp]*g") == 0
    names = [line.partition(": ")[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["a.jpg", "a.png", "d.jpg", "f.png"]
    assert tool("infer", detector_file, folder / "a.jpg", "--out", tmp_path / "x.png") == 0
    assert Image.open(tmp_path / "x.png").size == (160, 160)
    assert tool("infer", detector_file, folder / "a.jpg", "--out", tmp_path / "x") == 0
    assert list(read(tmp_path / "x")) == ["a.jpg"]


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("nothing", [], "nothing: there is no such file or folder; expected an image"),
        ("empty", [], "no image in this folder or its subfolders"),
        ("no*.jpg", [], "no image matches this pattern"),
        ("camera:7", [], "camera:7: there is no such camera"),
        ("v.mp4", [], "v.mp4: can't be read as a video"),
        ("my images", ["--out", "a.jpg"], "--out a.jpg: is a single image"),
        ("my images", ["--out", "v.mp4"], "--out v.mp4: is an existing file"),
        ("my images", ["--out", "/proc/a"], "--out /proc/a: can't be written"),
        ("my images", ["--batch-size", "0"], "--batch-size 0: expected a positive number"),
        ("my images", ["--score", "7"], "score 7"),
        ("my images", ["--device", "toaster"], "device toaster: can't be used"),
        ("my images", ["--config", "no.py"], "config no.py: there is no such file"),
    ],
)
def test_wrong_arguments(
    source, options, message, detector_file, folder, tool, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("v.mp4").write_bytes(b"not a video")
    assert tool("infer", detector_file, source, *options) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert message in error


def test_masks(save_detector, folder, tool, tmp_path):
    file = save_detector(tmp_path / "masks.pth", "mask_rcnn")
    out = tmp_path / "r"
    assert tool("infer", file, folder / "a.png", "--out", out, "--score", "0.0") == 0
    coco = COCO(str(out / "images.json")).loadRes(str(out / "results.json"))
    assert len(coco.anns) > 0
    assert all(coco.annToMask(annotation).shape == (160, 160) for annotation in coco.anns.values())


@pytest.mark.parametrize(
    ("given", "out"),
    [
        ("a.jpg", "a.jpg"),
        ("pictures/a.jpg", "."),
        (".", "."),
        ("pictures", "."),
        ("**/*.jpg", "."),
    ],
)
def test_no_image_is_replaced(given, out, folder, tool, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    (folder / "pictures").mkdir()
    shutil.copy(folder / "d.jpg", folder / "pictures/a.jpg")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert tool("infer", "nothing.pth", given, "--out", out) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: --out {out}: ")
    assert error.count("\n") == 1
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_without_drawing_a_folder_may_be_called_pictures(detector_file, folder, tool):
    (folder / "pictures").mkdir()
    shutil.copy(folder / "d.jpg", folder / "pictures/a.jpg")
    assert tool("infer", detector_file, folder, "--out", folder, "--no-draw") == 0
    assert "pictures/a.jpg" in read(folder)
    assert tool("infer", detector_file, folder, "--out", folder) == 2


def test_names_that_are_not_utf8_or_very_long(detector_file, folder, tool, tmp_path, capsys):
    names = [os.fsdecode(b"caf\xe9.png"), f"{'x' * 251}.png", f"{'x' * 251}.bmp"]
    for name in names:
        shutil.copy(folder / "a.png", folder / name)
    (folder / os.fsdecode(b"empty\xe9.png")).touch()
    args = ["infer", detector_file, folder, "--out", tmp_path / "r"]
    for _ in range(2):
        assert tool(*args) == 1
        assert r"empty\udce9.png: can't be read" in capsys.readouterr().err
        assert set(read(tmp_path / "r")) == {*NAMES, *names}
    assert (tmp_path / "r/pictures" / names[0]).is_file()
    assert tool(*args[:3]) == 1
    assert r"caf\udce9.png: " in capsys.readouterr().out
    root = folder.rename(tmp_path / os.fsdecode(b"\xe9"))
    assert tool("infer", detector_file, root, "--out", root / "r") == 1


def test_an_image_too_thin_to_be_resized_is_skipped(detector_file, folder, tool, tmp_path, capsys):
    Image.new("RGB", (3000, 1)).save(folder / "thin.png")
    assert tool("infer", detector_file, folder, "--out", tmp_path / "r") == 1
    error = capsys.readouterr().err
    assert "thin.png: its 3000 x 1 pixels can't be resized (" in error
    assert "skipped 1 image that can't be read" in error
    assert list(read(tmp_path / "r")) == NAMES
