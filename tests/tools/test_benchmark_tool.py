"""The benchmark's command line: figures on standard output, files, one sentence for a mistake."""

import csv
import json
import re

import pytest

QUICK = ("--input-size", "64x96", "--rounds", 2, "--form", "deploy")


@pytest.mark.slow
def test_tables_figures_and_a_plot(small_config, run_tool, tmp_path):
    figures, plot = tmp_path / "figures.json", tmp_path / "plot.png"
    run = run_tool(
        "benchmark", small_config, *QUICK, "--markdown", "--out", figures, "--plot", plot
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("| small ") == 2  # backbone and detector
    assert "warming up" in run.stderr
    assert json.loads(figures.read_text())["rows"][1]["part"] == "detector"
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_a_plain_table_and_csv(small_config, tool, tmp_path, capsys):
    figures = tmp_path / "figures.csv"
    assert tool("benchmark", small_config, *QUICK, "--part", "backbone", "--out", figures) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^small +fused +fp32 ", printed, re.MULTILINE)
    assert "|" not in printed
    (row,) = csv.DictReader(figures.open())
    assert (row["config"], row["form"]) == ("small", "deploy")


@pytest.mark.slow
def test_the_published_table(root, small_config, tool, monkeypatch, tmp_path, capsys):
    # The real one takes minutes; its configs are replaced by small ones of the same names.
    from vanillanet_det.analysis.published import COCO_TABLE

    for name in COCO_TABLE:
        (tmp_path / f"{name}.py").write_text(f"_base_ = '{small_config}'\n")
    import importlib

    module = importlib.import_module("vanillanet_det.apis.benchmark")
    monkeypatch.setattr(module, "configs_folder", lambda: tmp_path)
    assert tool("benchmark", "--table", *QUICK[:4], "--part", "detector") == 0
    printed = capsys.readouterr().out
    for row in COCO_TABLE.values():
        assert re.search(rf"\| {row.framework} +\| +{row.backbone} +\|", printed)
    assert "AP (published)" in printed


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "expected one or more config files, or --table for the published ones"),
        (("nowhere.py",), "config nowhere.py: there is no such file"),
        (("CONFIG", "--weights", "nowhere.pth"), "nowhere.pth"),
        (("CONFIG", "--checkpoint", "a.pth"), "--checkpoint was renamed; use --weights"),
        (("CONFIG", "--out", "figures.xlsx"), "--out figures.xlsx: expected a path ending in"),
        (("CONFIG", "--cfg-options", "model.neck.type=Nothing"), "the model can't be built"),
        (("CONFIG", "--exported", "nowhere.onnx"), "nowhere.onnx: there is no such file"),
        (
            ("CONFIG", "--engine", "pytorch", "onnxruntime", "--precision", "bf16"),
            "ONNX Runtime has no convolution in bf16 for CPUs",
        ),
    ],
)
def test_mistakes_are_one_sentence(small_config, tool, capsys, args, message):
    args = [small_config if arg == "CONFIG" else arg for arg in args]
    assert tool("benchmark", *args) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert "Traceback" not in printed.err
