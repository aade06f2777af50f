"""The command line prints figures, and nothing else where a program reads them."""

import importlib
import json

import pytest

from vanillanet_det.apis import get_flops


def test_json_is_all_there_is_on_standard_output(small_config, tool, tmp_path, capsys):
    talkative = tmp_path / "talkative.py"
    talkative.write_text(f"_base_ = '{small_config}'\nprint('reading')\n")
    assert tool("get_flops", talkative, "--input-size", "160x192", "--json") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["input_size"] == [160, 192]
    assert "reading" in printed.err


def test_the_printed_text_is_that_of_the_package(small_config, tool, capsys):
    options = ["model.bbox_head.stacked_convs=2"]
    args = ["--input-size", 160, "--cfg-options", *options]
    assert tool("get_flops", small_config, *args) == 0
    printed = capsys.readouterr().out
    assert printed == get_flops(str(small_config), "160", cfg_options=options) + "\n"


def test_a_size_too_small_is_one_sentence(small_config, tool, capsys):
    option = "model.backbone.stem_stride=64"  # one pixel behind the stem
    assert tool("get_flops", small_config, "--input-size", 32, "--cfg-options", option) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: --input-size 32x32: the model can't process this size")
    assert "Traceback" not in printed.err


@pytest.mark.slow
def test_the_table_finds_its_configs_from_anywhere(tool, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module("vanillanet_det.apis.get_flops")
    monkeypatch.setattr(module, "classifier_rows", list)
    assert tool("get_flops", "--table") == 0
    assert "| MaskRCNN, VanillaNet 13 " in capsys.readouterr().out


@pytest.mark.parametrize(
    "args",
    [
        ("CONFIG", "--input-size", 800, 1280),
        ("--input-size", 800, 1280, "CONFIG"),
        ("CONFIG", "--input-size=800", 1280, "--json"),
        ("--table", "--input", 800, 1280),
        ("--input-size", 800, 1280),
    ],
)
def test_two_numbers_are_answered_with_the_form_of_today(small_config, tool, capsys, args):
    args = [small_config if arg == "CONFIG" else arg for arg in args]
    assert tool("get_flops", *args) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    message = "error: --input-size 800 1280: expected one value; use --input-size 800x1280\n"
    assert printed.err == message
