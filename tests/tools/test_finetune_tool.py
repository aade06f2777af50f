"""Fine-tuning as a user runs it, from a folder to a report."""

import contextlib
import io
import json
import os
import shutil

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from vanillanet_det import load_detector
from vanillanet_det.datasets.examples import write_example

pytestmark = pytest.mark.xdist_group("finetune")  # one training for all
QUICK = ("--augment", "none", "--batch-size", "4", "--epochs", "2")


@pytest.fixture(scope="module")
def finished(tool, example, weights, tmp_path_factory):
    """A complete fine-tuning run: its exit status, output and work dir."""
    where = tmp_path_factory.mktemp("work") / "even odd"
    command = ("finetune", example, "--weights", weights, "--work-dir", where, *QUICK)
    with contextlib.redirect_stdout(io.StringIO()) as output:
        status = tool(*command)
    return status, output.getvalue(), where


@pytest.mark.slow
def test_from_a_folder_to_a_detector(finished, example):
    status, output, where = finished
    assert status == 0
    assert "YOLO" in output
    assert "evaluated on" in output
    for name in ("config/finetune.py", "curves.png", "report.html", "deployed.pth", "weights.txt"):
        assert (where / name).stat().st_size > 0
    cfg = Config.fromfile(where / "config/finetune.py")
    assert cfg.train_dataloader.dataset.metainfo.classes == ("even", "odd")
    assert cfg.model.bbox_head.num_classes == 2
    assert cfg.finetune.weights.endswith("detector.pth")
    truth = json.loads((where / "annotations" / "val.json").read_text())
    assert len(truth["images"]) == 4
    detector = load_detector(where / "deployed.pth", score=0.0)
    assert detector.classes == ("even", "odd")
    image = next((example / "images" / "val").iterdir())
    assert detector(image).size == (160, 160)


@pytest.mark.slow
def test_the_config_is_one_that_train_runs(finished, tool, tmp_path):
    *_, where = finished
    options = ("--cfg-options", "train_cfg.max_epochs=1")
    assert tool("train", where / "config/finetune.py", "--work-dir", tmp_path, *options) == 0
    assert (tmp_path / "epoch_1.pth").is_file()


@pytest.mark.slow
def test_a_finished_run_is_not_overwritten(finished, tool, example, capsys):
    *_, where = finished
    before = {path: path.stat().st_mtime_ns for path in where.rglob("*")}
    assert tool("finetune", example, "--work-dir", where) == 2
    assert "already contains a training run; resume it (--resume)" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in where.rglob("*")} == before


STOP = """
import os
import shutil
import signal
from mmdet.registry import HOOKS
from mmengine.hooks import Hook

@HOOKS.register_module()
class PressOnce(Hook):
    pressed = False

    def after_train_iter(self, runner, batch_idx, **kwargs):
        if batch_idx == 0 and not PressOnce.pressed:
            PressOnce.pressed = True
            os.kill(os.getpid(), signal.SIGINT)
"""


@pytest.mark.slow
def test_ctrl_c_reports_how_to_resume(tool, example, weights, root, tmp_path, monkeypatch, capfd):
    (tmp_path / "press_once.py").write_text(STOP)
    monkeypatch.syspath_prepend(tmp_path)
    template = tmp_path / "template.py"
    template.write_text(
        f'_base_ = ["{root}/configs/retinanet_vanillanet5_digits.py"]\n'
        'custom_imports = dict(imports=["vanillanet_det", "press_once"])\n'
        'custom_hooks = [dict(type="PressOnce")]\n'
    )
    where = tmp_path / "a work"
    options = ("--weights", weights, "--model", template, "--work-dir", where, *QUICK)
    assert tool("finetune", example, *options) == 130
    output = "".join(capfd.readouterr())
    assert f"Resume: vanillanet-det finetune '{example}' --work-dir '{where}' --resume" in output
    assert (where / "interrupted.pth").is_file()
    assert not (where / "report.html").exists()

    # And again at the very end, once training is complete.
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("vanillanet_det.finetune.report.write_report", interrupt)
    assert tool("finetune", example, "--work-dir", where, "--resume") == 130
    assert (
        "Training is complete; to fuse, evaluate and report, run: vanillanet-det finet"
        in capfd.readouterr().out
    )
    assert (where / "epoch_2.pth").is_file()
    assert load_detector(where / "deployed.pth").classes == ("even", "odd")
    assert not (where / "report.html").exists()
    assert not (where / "interrupted.pth").exists()


def _odd_images(root):
    """Save images in every format that cameras, scanners and editors write."""
    random = np.random.RandomState(0)
    for number in range(8):
        image = Image.fromarray(random.randint(0, 255, (64, 96, 3), dtype=np.uint8))
        exif = Image.Exif()
        exif[0x0112] = 6  # stored in landscape, displayed in portrait
        name = root / f"größe {number}.png"
        if number == 0:
            Image.fromarray(random.randint(0, 2**16, (64, 96)).astype(np.uint16)).save(name)
        elif number == 1:
            image.convert("P").save(name)
        elif number == 2:
            image.convert("CMYK").save(name.with_suffix(".jpg"))
        elif number == 3:
            image.transpose(Image.Transpose.ROTATE_90).save(name.with_suffix(".jpg"), exif=exif)
        elif number == 4:
            image.save(root / f"{'x' * 251}.png")
        else:
            image.save(name)
    return sorted(path.name for path in root.iterdir())


@pytest.fixture
def odd_data(tmp_path):
    """COCO as found in the wild: odd images, ids and numbers."""
    root = tmp_path / "meine Daten"
    (root / "images").mkdir(parents=True)
    names = _odd_images(root / "images")
    boxes = [(7, ["4", "6.5", "30.25", "40"]), (900, [50, 10, 20.5, 30])]
    content = dict(
        images=[dict(id=9 * i, file_name=n, width=96, height=64) for i, n in enumerate(names)],
        annotations=[
            dict(id=10 * i + k, image_id=9 * i, category_id=category, bbox=box, iscrowd=0)
            for i in range(7)  # the last one has no boxes
            for k, (category, box) in enumerate(boxes, 1)
        ],
        categories=[
            dict(id=900, name="Größe"),
            dict(id=7, name="left one"),
            dict(id=12, name="nobody's"),
        ],
    )
    (root / "labels.json").write_text(json.dumps(content))
    return root


@pytest.mark.slow
def test_odd_images_ids_and_numbers(tool, odd_data, weights, tmp_path, capsys):
    where = tmp_path / "work"
    command = ("finetune", odd_data, "--weights", weights, "--work-dir", where)
    assert tool(*command, "--batch-size", "4", "--epochs", "1") == 0
    assert "nobody's" in capsys.readouterr().out
    cfg = Config.fromfile(where / "config/finetune.py")
    assert set(cfg.train_dataloader.dataset.metainfo.classes) == {"Größe", "left one"}
    contents = [json.loads((where / f"annotations/{s}.json").read_text()) for s in ("train", "val")]
    assert sum(len(content["images"]) for content in contents) == 8
    boxes = {tuple(a["bbox"]) for content in contents for a in content["annotations"]}
    assert boxes == {(4.0, 6.5, 30.25, 40.0), (50.0, 10.0, 20.5, 30.0)}
    report = (where / "report.html").read_text()
    assert "Größe" in report
    assert "größe" in report
    for split in ("train", "val"):  # for pycocotools, in a system of any encoding
        (where / f"annotations/{split}.json").read_text("ascii")


def test_the_config_holds_in_any_folder(tool, example, weights, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(example.parent)
    path = os.path.relpath(weights)
    where = tmp_path / "work"
    assert tool("finetune", example.name, "--weights", path, "--work-dir", where, "--dry-run") == 0
    monkeypatch.chdir(tmp_path)
    cfg = Config.fromfile(where / "config/finetune.py")
    assert (cfg.finetune.data, cfg.load_from) == (str(example), str(weights))
    assert tool("finetune", example, "--work-dir", where, "--resume", "--dry-run") == 0
    (where / "config/finetune.py").write_text("load_from = None\n")
    assert tool("finetune", example, "--work-dir", where, "--resume", "--dry-run") == 2
    assert "doesn't specify its dataset (finetune.data); resume it" in capsys.readouterr().err


def test_one_class_only(tool, odd_data, weights, tmp_path):
    path = odd_data / "labels.json"
    content = json.loads(path.read_text())
    for annotation in content["annotations"]:
        annotation["category_id"] = 900
    path.write_text(json.dumps(content))
    where = tmp_path / "work"
    command = ("finetune", odd_data, "--weights", weights, "--work-dir", where, "--dry-run")
    assert tool(*command) == 0
    cfg = Config.fromfile(where / "config/finetune.py")
    assert cfg.train_dataloader.dataset.metainfo.classes == ("Größe",)
    assert cfg.model.bbox_head.num_classes == 1


def test_a_dry_run_checks_and_trains_nothing(tool, example, weights, tmp_path, capsys):
    assert tool("finetune", example, "--weights", weights, "--work-dir", tmp_path, "--dry-run") == 0
    output = capsys.readouterr().out
    for words in ("8 images", "re-made", "learning rate", "anchors", f"Config: {tmp_path}"):
        assert words in output
    assert (tmp_path / "config/finetune.py").is_file()
    assert not list(tmp_path.rglob("*.pth"))


def test_without_a_validation_split_one_is_made_and_written_down(tool, weights, tmp_path, capsys):
    data = tmp_path / "data"
    write_example(data, "coco", {"train": 20, "val": 4})
    next((data / "annotations").glob("*val*")).unlink()
    where = tmp_path / "work"
    assert tool("finetune", data, "--weights", weights, "--work-dir", where, "--dry-run") == 0
    assert "The dataset has no validation split; one was created" in capsys.readouterr().out
    contents = [json.loads((where / f"annotations/{s}.json").read_text()) for s in ("train", "val")]
    names = [{image["file_name"] for image in content["images"]} for content in contents]
    assert len(names[0]) == 16
    assert len(names[1]) == 4
    assert not names[0] & names[1]
    assert contents[0]["info"]["split"]["seed"] == 0


@pytest.mark.slow
def test_resuming_keeps_settings_and_dataset(finished, tool, example, tmp_path, capsys):
    *_, where = finished
    resumed = ("--work-dir", where, "--resume")
    assert tool("finetune", example, *resumed, "--lr", "0.1") == 2
    assert "omit --lr" in capsys.readouterr().err
    assert tool("finetune", tmp_path, *resumed) == 2
    assert f"uses {example}, not {tmp_path}" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_of_an_earlier_version_is_resumed(finished, tool, example, tmp_path):
    *_, where = finished
    work_dir = shutil.copytree(where, tmp_path / "work")
    (work_dir / "report.html").unlink()
    cfg = Config.fromfile(work_dir / "config/finetune.py")
    for key, earlier in (("format", "form"), ("input size", "pictures")):
        cfg.finetune[earlier] = cfg.finetune.pop(key)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)  # processes are slow to end
    cfg.dump(work_dir / "config/finetune.py")
    assert tool("finetune", example, "--work-dir", work_dir, "--resume") == 0
    report = (work_dir / "report.html").read_text()
    assert '<th scope="row">Format</th><td>YOLO</td>' in report
    assert '<th scope="row">Input size</th><td>160 x 160 pixels' in report
