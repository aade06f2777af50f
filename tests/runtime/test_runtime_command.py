"""`python -m vanillanet_det.runtime`, and the package without PyTorch and MMDetection."""

import json
import os
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from without_pytorch import ABSENT

from vanillanet_det.runtime import Detector


@pytest.fixture
def folder(images, tmp_path):
    """Images of two shapes and two formats, in a folder and its subfolder."""
    root = tmp_path / "my images"
    (root / "größer").mkdir(parents=True)
    for index, image in enumerate(images[:4]):
        name = ["a.png", "größer/b 图.bmp", "c.png", "d.png"][index]
        (root / name).write_bytes(cv2.imencode(name[-4:], image)[1].tobytes())
    (root / "notes.txt").write_text("not an image")
    return root


NAMES = ["a.png", "c.png", "d.png", "größer/b 图.bmp"]


def test_a_line_per_image_in_order(command, onnx_file, folder, capsys):
    assert command(onnx_file, folder, "--batch-size", 2, "--streams", 2) == 0
    detector = Detector(onnx_file)
    expected = [f"{name}: {detector(folder / name).summary()}" for name in NAMES]
    assert capsys.readouterr() == ("\n".join(expected) + "\n", "")
    assert command(onnx_file, folder, "--engine", "openvino", "--threads", 1) == 0
    assert capsys.readouterr().out == "\n".join(expected) + "\n"
    assert command(onnx_file, folder / "a.png", "--score", 1) == 0
    assert capsys.readouterr().out == "a.png: 0\n"


def test_a_folder_of_results(command, any_file, folder, tmp_path, capsys):
    out = tmp_path / "results"
    assert command(any_file, folder, "--out", out) == 0
    assert f"4 images, {len(list(iterate(out)))} objects: results.json" in capsys.readouterr().out
    coco = COCO(str(out / "images.json"))
    results = coco.loadRes(str(out / "results.json"))
    detector = Detector(any_file)
    for image in coco.dataset["images"]:
        found = detector(folder / image["file_name"])
        rows = results.imgToAnns[image["id"]]
        assert len(rows) == len(found) > 0
        for row, item in zip(rows, found):
            assert coco.cats[row["category_id"]]["name"] == item.name
            np.testing.assert_array_equal(results.annToMask(row).astype(bool), item.mask)
    drawn = {p.relative_to(out / "pictures").as_posix() for p in out.rglob("pictures/**/*.png")}
    assert drawn == {"a.png", "c.png", "d.png", "größer/b 图.bmp.png"}
    assert (cv2.imread(str(out / "pictures/a.png")) != cv2.imread(str(folder / "a.png"))).any()


def iterate(out):
    return json.loads((out / "results.json").read_text())


def test_a_drawing_of_one_image(command, onnx_file, folder, tmp_path, capsys):
    assert command(onnx_file, folder / "a.png", "--out", tmp_path / "new/drawn.jpg") == 0
    assert cv2.imread(str(tmp_path / "new/drawn.jpg")).shape == (48, 64, 3)
    assert os.listdir(tmp_path / "new") == ["drawn.jpg"]
    assert capsys.readouterr().out.count("\n") == 1


def test_other_photographs_are_counted_and_videos_named(command, onnx_file, folder, capsys):
    for name in ("e.heic", "f.HEIC", "clip.mp4"):
        (folder / name).write_text("")
    assert command(onnx_file, folder) == 1
    assert capsys.readouterr().err.splitlines() == [
        "images in formats that OpenCV can't read, skipped: 2 (e.heic, f.HEIC); "
        "convert such images to JPEG or PNG",
        "videos in the folder, skipped: 1 (clip.mp4); pass each by itself",
    ]


def test_a_file_whose_ending_is_in_capitals(command, onnx_file, folder, tmp_path, capsys):
    shutil.copy(onnx_file, tmp_path / "DETECTOR.ONNX")
    (folder / "a.png").rename(folder / "A.PNG")
    assert command(tmp_path / "DETECTOR.ONNX", folder / "A.PNG") == 0
    assert capsys.readouterr().out.startswith("A.PNG: ")


def test_further_frames_are_named(command, onnx_file, folder, capsys):
    frames = [Image.new("L", (64, 48), grey) for grey in (0, 255)]
    frames[0].save(folder / "e.tif", save_all=True, append_images=frames[1:])
    assert command(onnx_file, folder) == 0
    assert capsys.readouterr().err == (
        "images with several frames, of which only the first is used: 1 (e.tif)\n"
    )


def test_unreadable_images_are_reported_and_skipped(command, onnx_file, folder, capsys):
    (folder / "b.png").write_text("not an image")
    assert command(onnx_file, folder) == 1
    out, error = capsys.readouterr()
    assert [line.partition(":")[0] for line in out.splitlines()] == NAMES
    assert "b.png: can't be read" in error
    assert "skipped 1 image that can't be read" in error


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nothing.onnx", "a.png"], "nothing.onnx: there is no such file"),
        (["MODEL", "nothing"], "nothing: there is no such file or folder"),
        (["MODEL", "camera:7"], "camera:7: there is no such camera"),
        (["MODEL", ".", "--out", "a.jpg"], "--out a.jpg: is a single image, but . isn't"),
        (["MODEL", ".", "--out", "notes.txt"], "--out notes.txt: is an existing file; pass"),
        (["MODEL", ".", "--batch-size", "0"], "--batch-size 0: expected a positive number"),
        (["MODEL", ".", "--threads", "0"], "threads 0: expected a positive number"),
        (["MODEL", ".", "--score", "3"], "score 3.0: expected a number from 0 to 1"),
        (["MODEL", ".", "--device", "tpu"], "device 'tpu': ONNX Runtime"),
    ],
)
def test_mistakes_are_one_sentence(args, message, command, onnx_file, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert command(*[onnx_file if arg == "MODEL" else arg for arg in args]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith(f"error: {message}")
    assert error.count("\n") == 1


@pytest.mark.slow
def test_the_command_line_without_pytorch(bare, any_file, folder, tmp_path):
    done = bare("-m", "vanillanet_det.runtime", any_file, folder, "--out", tmp_path / "r")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[:4] == [
        f"{name}: {Detector(any_file)(folder / name).summary()}" for name in NAMES
    ]
    assert len(iterate(tmp_path / "r")) > 20
    done = bare("-m", "vanillanet_det.runtime", "nothing.onnx", folder)
    assert done.returncode == 2
    assert done.stderr.startswith("error: nothing.onnx: there is no such file")


def test_import_is_light(bare, any_file):
    code = (
        "import sys, vanillanet_det.runtime as runtime\n"
        "late = {'cv2', 'onnxruntime', 'openvino', 'vanillanet_det.engine'} & set(sys.modules)\n"
        "assert not late, late\n"
        "import numpy\n"
        f"found = runtime.Detector({str(any_file)!r})(numpy.zeros((40, 40, 3), 'uint8'))\n"
        "print(type(found) is runtime.Detections, issubclass(runtime.UserError, ValueError))\n"
        f"print([name for name in {ABSENT!r} if sys.modules.get(name)])\n"
    )
    done = bare("-c", code)
    assert (done.stdout, done.stderr) == ("True True\n[]\n", "")


def test_other_names_report_missing_packages(bare):
    code = (
        "import vanillanet_det\n"
        "from vanillanet_det import UserError, runtime\n"
        "assert not hasattr(vanillanet_det, 'nothing')\n"
        "from vanillanet_det import VanillaNet\n"
    )
    done = bare("-c", code)
    assert done.returncode == 1
    assert "line 4" in done.stderr
    assert "ImportError: vanillanet_det needs torch, torchvision, " in done.stderr
    assert "pip install -e '.[lite]'" in done.stderr
    done = bare("-c", "import vanillanet_det; vanillanet_det.load_detector")
    assert "ImportError: vanillanet_det needs torch" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("there", ["mmengine", "timm"])
def test_detection_needs_no_mmdetection_beside_other_packages(bare, any_file, folder, there):
    absent = [name for name in ABSENT if name != there]
    done = bare("-m", "vanillanet_det.runtime", any_file, folder / "a.png", absent=absent)
    assert (done.returncode, done.stderr) == (0, "")
    done = bare("-c", "from vanillanet_det import VanillaNet", absent=absent)
    assert "ImportError: vanillanet_det needs " in done.stderr
    assert "mmdet" in done.stderr
    assert there not in done.stderr.splitlines()[-1].partition(": pip")[0]


def test_the_command_reports_missing_packages_and_names_the_runtime(bare):
    done = bare("-m", "vanillanet_det_tools", "infer", "a.onnx", "a.png")
    assert done.returncode == 2
    assert done.stderr.startswith("error: vanillanet_det needs torch")
    assert "python -m vanillanet_det.runtime" in done.stderr


def test_pip_installs_neither_pytorch_nor_mmdetection(root):
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for extra in ("runtime", "openvino"):
        brought = " ".join([*project["dependencies"], *extras[extra]])
        assert not [name for name in ABSENT if name in brought]
        assert "opencv" in brought
    assert any(name.startswith("torch>=") for name in extras["torch"])
    assert "vanillanet_det[torch]" in extras["mmdet"]
