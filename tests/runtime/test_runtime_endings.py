"""Runs that end early or meet odd names: results are kept, and no file is lost."""

import csv
import json
import os
import sys

import cv2
import numpy as np
import pytest

from vanillanet_det import UserError
from vanillanet_det.runtime import Detector, predict
from vanillanet_det.runtime.console import printable
from vanillanet_det.runtime.outputs import FILES
from vanillanet_det.runtime.results import draw_detections


def encode(image):
    return cv2.imencode(".png", image)[1].tobytes()


@pytest.fixture
def folder(images, tmp_path):
    """Six images."""
    root = tmp_path / "photos"
    root.mkdir()
    for index in range(6):
        (root / f"{index}.png").write_bytes(encode(images[index]))
    return root


def names_in(out):
    return [image["file_name"] for image in json.loads((out / "images.json").read_text())["images"]]


@pytest.mark.parametrize(
    ("given", "out"),
    [("0.png", "0.png"), ("pictures/0.png", "."), (".", "."), ("pictures", ".")],
)
def test_no_image_is_replaced(given, out, command, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    (folder / "pictures").mkdir()
    (folder / "pictures/0.png").write_bytes((folder / "1.png").read_bytes())
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert command("nothing.onnx", given, "--out", out) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: --out {out}: ")
    assert error.count("\n") == 1
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("streams", [1, 2])
def test_a_failing_batch_is_one_sentence_and_other_results_are_kept(
    engine, streams, command, onnx_file, folder, tmp_path, capsys
):
    (folder / "4.png").write_bytes(
        encode(np.zeros((4, 64, 3), np.uint8))
    )  # smaller than its kernel
    args = ("--engine", engine, "--streams", streams, "--batch-size", 1, "--threads", 2)
    assert command(onnx_file, folder, "--out", tmp_path / "r", *args) == 2
    out, error = capsys.readouterr()
    assert error.startswith("error: images of shape (1, 4, 64, 3): O")
    assert "can't process them (" in error
    assert error.count("\n") == 1
    found = names_in(tmp_path / "r")
    assert found[:3] == ["0.png", "1.png", "2.png"]
    assert f"{len(found)} of 6 images, " in out
    assert json.loads((tmp_path / "r/results.json").read_text())


def test_finished_images_are_kept_if_a_batch_of_earlier_ones_fails(
    command, onnx_file, folder, tmp_path
):
    (folder / "0.png").write_bytes(encode(np.zeros((4, 64, 3), np.uint8)))  # waits for a full batch
    assert command(onnx_file, folder, "--out", tmp_path / "r", "--batch-size", 2) == 2
    assert names_in(tmp_path / "r") == ["1.png", "2.png", "3.png", "4.png"]


def test_every_failing_batch_is_reported(any_file):
    detector = Detector(any_file)
    for _ in range(2):  # OpenVINO's only request is released
        with pytest.raises(UserError, match=r"images of shape \(1, 4, 64, 3\): "):
            detector(np.zeros((4, 64, 3), np.uint8))


def test_ctrl_c_keeps_the_results_so_far(command, onnx_file, folder, tmp_path, monkeypatch, capsys):
    count = 0

    def draw(*args):
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        return draw_detections(*args)

    monkeypatch.setattr(predict, "draw_detections", draw)
    assert command(onnx_file, folder, "--out", tmp_path / "r") == 130
    # An image is finished once it is drawn: a run that resumes draws the third one.
    assert names_in(tmp_path / "r") == ["0.png", "1.png"]
    assert "2 of 6 images, " in capsys.readouterr().out
    count = 3  # and the same command completes it
    assert command(onnx_file, folder, "--out", tmp_path / "r") == 0
    assert len(names_in(tmp_path / "r")) == 6


def test_a_full_disk_keeps_the_results_so_far(command, onnx_file, folder, small_disk, capsys):
    noise = np.random.RandomState(0).randint(0, 256, (80, 80, 3), np.uint8)
    for path in folder.iterdir():
        path.write_bytes(encode(noise))  # 19 KiB each
    assert command(onnx_file, folder, "--out", small_disk / "r", "--score", 1) == 2
    error = capsys.readouterr().err
    assert ".png: can't be written (No space left on device)" in error
    assert error.count("\n") == 1
    assert names_in(small_disk / "r") == ["0.png", "1.png"]
    assert len(os.listdir(small_disk / "r/pictures")) == 2
    assert {*os.listdir(small_disk / "r")} == {*FILES, "pictures", "parts"}


def test_a_run_without_results_leaves_nothing(command, onnx_file, folder, tmp_path, monkeypatch):
    for path in folder.iterdir():
        path.write_bytes(encode(np.zeros((4, 64, 3), np.uint8)))
    assert command(onnx_file, folder, "--out", tmp_path / "r") == 2
    assert not (tmp_path / "r").exists()


def test_names_that_are_not_utf8_or_very_long(command, onnx_file, folder, tmp_path, capfd):
    latin, long = os.fsdecode(b"caf\xe9.png"), "x" * 251
    for index, name in enumerate((latin, f"{long}.png", f"{long}.bmp")):
        os.replace(folder / f"{index}.png", folder / name)
    assert command(onnx_file, folder, "--out", tmp_path / "r") == 0
    assert "caf\\udce9.png: " in capfd.readouterr().out
    names = names_in(tmp_path / "r")
    assert set(names) == {"3.png", "4.png", "5.png", latin, f"{long}.png", f"{long}.bmp"}
    assert (tmp_path / "r/pictures" / latin).is_file()
    assert len(os.listdir(tmp_path / "r/pictures")) == 6
    with open(tmp_path / "r/results.csv", encoding="utf-8", newline="") as file:
        assert "caf\\udce9.png" in {row["file"] for row in csv.DictReader(file)}
    (tmp_path / "r/images.json").read_text("ascii")  # whatever the system's encoding
    (folder / latin).write_bytes(b"")
    assert command(onnx_file, folder) == 1
    assert "caf\\udce9.png: can't be read" in capfd.readouterr().err


def test_text_that_the_terminal_can_not_show(monkeypatch, tmp_path):
    with open(tmp_path / "out", "w", encoding="latin-1") as output:
        monkeypatch.setattr(sys, "stdout", output)
        assert printable("größe 图") == "größe \\u56fe"
    monkeypatch.setattr(sys, "stdout", None)
    assert printable("größe 图") == "größe 图"
