"""One sentence for every mistake of a user."""

import argparse
import json
import os
import shutil

import pytest
import torch

from vanillanet_det_tools.command_line import add_renamed

CLASSES = "train_dataloader.dataset.metainfo.classes"


def test_without_coco_one_message_and_status_2(tool, root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert tool("train", root / "configs/retinanet_vanillanet11_coco.py") == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    for part in (
        "data/coco/annotations/instances_train2017.json is missing",
        "data/coco/train2017/*.jpg",
        "--cfg-options data_root=",
        "vanillanet-det train retinanet_vanillanet5_digits",
    ):
        assert part in error
    assert not list(tmp_path.rglob("*.log")), "the model was being built already"


def test_an_environment_without_mmcv_names_the_command(run_tool, small_config, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'mmcv' else find(name, package)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    result = run_tool("train", small_config, env=environment)
    assert result.returncode == 2
    assert "pip install 'mmcv-lite>=2.1,<2.2'" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.fixture
def data(small_digits, tmp_path):
    """A copy of the scenes to spoil."""
    return shutil.copytree(small_digits, tmp_path / "digits")


def spoil_json(data):
    path = data / "annotations/instances_train.json"
    path.write_text(path.read_text()[:1000])
    return "instances_train.json: is not valid JSON"


def empty(data):
    path = data / "annotations/instances_train.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "images": [], "annotations": []}))
    return "the dataset is empty"


def spoil_image(data):
    path = data / "train/000003.png"
    path.write_bytes(path.read_bytes()[:50])
    return "train/000003.png: can't be read"


@pytest.mark.parametrize(
    ("spoil", "workers"), [(spoil_json, 0), (empty, 0), (spoil_image, 0), (spoil_image, 1)]
)
def test_spoiled_data_is_named(spoil, workers, data, small_config, tool, tmp_path, capsys):
    message = spoil(data)
    options = [f"data_root={data}/", f"train_dataloader.num_workers={workers}"]
    status = tool("train", small_config, "--work-dir", tmp_path / "w", "--cfg-options", *options)
    assert status == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nothing.py"], "config nothing.py: there is no such file"),
        (["CONFIG", "--work-dir", "/sys/work"], "work_dir /sys/work: can't be written"),
        (["CONFIG", "--cfg-options", "novalue"], "--cfg-options novalue: expected key=value"),
        (
            ["CONFIG", "--cfg-options", "trian_cfg.max_epochs=1"],
            "has no trian_cfg; did you mean train_cfg?",
        ),
        (["CONFIG", "--cfg-options", "model.type=RetinaNett"], "RetinaNett is not in the"),
        (["CONFIG", "--cfg-options", "model.backbone.depth=5"], "unexpected keyword argument"),
        (["CONFIG", "--cfg-options", "model.backbone.act_num=-2"], "act_num -2; expected"),
        (["CONFIG", "--cfg-options", f"{CLASSES}=[zero,one]"], "its categories are 0, 1, 2"),
        (["CONFIG", "--resume", "nothing.pth"], "nothing.pth: there is no such file"),
        (["CONFIG", "--launcher", "pytorch"], "start the run with torchrun"),
        (
            ["CONFIG", "--auto-scale-lr", "--cfg-options", "auto_scale_lr.base_batch_size=None"],
            "auto_scale_lr.base_batch_size",
        ),
        (
            [
                "CONFIG",
                "--cfg-options",
                "model.backbone.init_cfg.type=Pretrained",
                "model.backbone.init_cfg.checkpoint=nothing.pth",
            ],
            "model.backbone.init_cfg.checkpoint: nothing.pth is missing",
        ),
    ],
)
def test_wrong_arguments(args, message, small_config, tool, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    args = [small_config if arg == "CONFIG" else arg for arg in args]
    if "--work-dir" not in args:
        args += ["--work-dir", tmp_path / "w"]
    assert tool("train", *args) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nothing.pth"], "checkpoint nothing.pth: there is no such file"),
        (["nothing.pth", "--out", "results.json"], "--out results.json: expected a path ending"),
    ],
)
def test_wrong_arguments_of_test(args, message, small_config, tool, capsys):
    assert tool("test", small_config, *args) == 2
    assert message in capsys.readouterr().err


class Runs:
    """Pickles as a call of the shell."""

    def __reduce__(self):
        return os.system, ("touch ran",)


INIT = "model.backbone.init_cfg"


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("convert_checkpoint", ["FILE", "target.pth"]),
        ("test", ["CONFIG", "FILE", "--work-dir", "w"]),
        ("train", ["CONFIG", "--work-dir", "w", "--resume", "FILE"]),
        ("train", ["CONFIG", "--work-dir", "w", "--cfg-options", "load_from=FILE"]),
        (
            "train",
            [
                *("CONFIG", "--work-dir", "w", "--cfg-options"),
                *(f"{INIT}.type=Pretrained", f"{INIT}.checkpoint=FILE"),
            ],
        ),
    ],
)
def test_a_malicious_checkpoint_runs_nothing(
    name, args, small_config, tool, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.pth"
    torch.save({"state_dict": {}, "meta": Runs()}, path)
    args = [arg.replace("CONFIG", str(small_config)).replace("FILE", str(path)) for arg in args]
    assert tool(name, *args) == 2
    error = capsys.readouterr().err
    assert f"checkpoint {path}: refused" in error
    assert "system" in error
    assert "Traceback" not in error
    assert not list(tmp_path.rglob("ran"))
    assert not (tmp_path / "target.pth").exists()


def test_convert_checkpoint_names_what_is_wrong(tool, tmp_path, capsys):
    assert tool("convert_checkpoint", tmp_path / "no.pth", tmp_path / "target.pth") == 2
    assert "no.pth: there is no such file" in capsys.readouterr().err


@pytest.mark.parametrize("values", [[], ["a.pth"], ["3", "4"]])
def test_a_renamed_flag_names_the_new_one(values, capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument("--new", nargs="*")
    add_renamed(parser, "--old", "--new")
    assert "--old" not in parser.format_help()
    with pytest.raises(SystemExit) as exit:
        parser.parse_args(["--old", *values])
    assert exit.value.code == 2
    assert capsys.readouterr().err == "error: --old was renamed; use --new instead\n"
