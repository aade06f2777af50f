"""The command finds its verbs, and says what they are called."""

import json
import os
import subprocess
from pathlib import Path

import pytest

import vanillanet_det
from vanillanet_det import apis
from vanillanet_det.engine.config import load_config
from vanillanet_det_tools.main import VERBS


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_does_not_wait_for_torch(verb, run_python):
    done = run_python(
        "-X", "importtime", "-m", "vanillanet_det_tools", *filter(None, [verb]), "--help"
    )
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: vanillanet-det {verb}".rstrip())
    assert not {"torch", "mmengine", "vanillanet_det"} & {
        line.rpartition("|")[2].strip() for line in done.stderr.splitlines()
    }


def test_help_lists_the_verbs_with_a_line_each(tool, capsys):
    assert tool("--help") == 0
    text = capsys.readouterr().out
    assert [line.split()[0] for line in text.partition("verbs:\n")[2].splitlines()[:-2]] == [*VERBS]
    assert max(map(len, text.splitlines())) < 80


def test_every_function_is_a_verb():
    assert {name.replace("_", "-") for name in apis.__all__} | {"configs"} == set(VERBS)


@pytest.mark.parametrize(
    ("verb", "closest"),
    [("trian", "train"), ("get_flops", "get-flops"), ("fine-tune", "finetune"), ("zzz", None)],
)
def test_a_wrong_verb_names_the_closest_one(verb, closest, run_python):
    done = run_python("-m", "vanillanet_det_tools", verb, "--help")
    assert (done.returncode, done.stdout) == (2, "")
    hint = f"did you mean {closest}? " if closest else ""
    expected = f"error: {verb}: there is no such verb; {hint}vanillanet-det --help lists all\n"
    assert done.stderr == expected


def test_the_version_is_that_of_the_package(tool, capsys):
    assert tool("--version") == 0
    assert capsys.readouterr().out == f"vanillanet-det {vanillanet_det.__version__}\n"


def test_without_a_verb_the_help_is_an_error(run_python):
    done = run_python("-m", "vanillanet_det_tools")
    assert (done.returncode, done.stdout) == (2, "")
    assert "  train  " in done.stderr


def test_a_reader_that_has_enough_is_no_error(command, tmp_path):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command("configs"), stdout=write, stderr=subprocess.PIPE, cwd=tmp_path)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


def test_configs_lists_them_and_prints_the_path_of_one(tool, root, capsys):
    assert tool("configs") == 0
    folder, *names = capsys.readouterr().out.splitlines()
    assert Path(folder) == root / "configs"
    assert names == sorted(path.stem for path in Path(folder).glob("*.py"))
    assert tool("configs", names[0]) == 0
    assert capsys.readouterr().out == f"{folder}/{names[0]}.py\n"
    assert tool("configs", "retinanet_vanillanet11") == 2
    assert "vanillanet_det are retinanet_vanillanet11_coco, " in capsys.readouterr().err


@pytest.mark.parametrize(
    "args",
    [
        ("train", "NAME"),
        ("test", "NAME", "FILE"),
        ("check-data", "NAME"),
        ("export", "NAME", "FILE"),
        ("get-flops", "NAME"),
        ("benchmark", "retinanet_resnet50_coco", "NAME"),
        ("infer", "FILE", "IMAGES", "--config", "NAME"),
        ("finetune", "DATA", "--model", "NAME"),
    ],
)
def test_every_verb_takes_configs_by_name(
    args, detector_file, small_digits, tool, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    wrong = "retinanet_vanilanet5_digits"
    given = dict(NAME=wrong, FILE=detector_file, IMAGES=small_digits / "val")
    assert tool(*(given.get(arg, arg) for arg in args)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: config {wrong}: there is no such file; the closest configs of ")
    assert " retinanet_vanillanet5_digits, " in line
    assert line.endswith("(vanillanet-det configs lists all)")


def test_a_run_is_called_as_the_user_called_its_config(tool, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name = "retinanet_vanillanet5_digits"
    for given in (name, f"configs/{name}.py"):
        assert tool("get-flops", given, "--input-size", 160, "--json") == 0
        assert json.loads(capsys.readouterr().out)["config"] == given
    assert load_config(name).work_dir == f"work_dirs/{name}"
