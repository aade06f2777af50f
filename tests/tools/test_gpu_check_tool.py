"""The command that compares a GPU with the CPU: its table, its file and its status."""

import importlib
import json
import re
from importlib.metadata import version

import pytest
import torch

from vanillanet_det.gpu_checks.outcome import Finding, SkippedError


def refuse(device):
    raise RuntimeError("CUDA error: no kernel image is available\nCompile with TORCH_USE_CUDA_DSA")


def skip(device):
    raise SkippedError("needs two of them")


@pytest.mark.parametrize("status", ["passed", "failed", "skipped"])
def test_the_table_and_the_file(tool, capsys, monkeypatch, tmp_path, status):
    check = dict(passed=lambda device: Finding(2e-5, 1e-4), failed=refuse, skipped=skip)[status]
    module = importlib.import_module("vanillanet_det.apis.gpu_check")
    monkeypatch.setattr(module, "all_checks", lambda cfg: [("one thing", check)])
    out = tmp_path / "gpu.json"
    assert tool("gpu_check", "--device", "cpu", "--out", out) == (status == "failed")
    printed = capsys.readouterr()
    assert f"1 {status}" == printed.out.splitlines()[-1]
    assert re.search(rf"\| one thing +\| +{status} \|", printed.out)
    assert printed.err.splitlines()[-1] == "checking one thing"
    content = json.loads(out.read_text())
    (written,) = content["checks"]
    assert (written["name"], written["status"]) == ("one thing", status)
    assert content["benchmark"] is None
    assert content["machine"]["versions"]["torch"] == version("torch")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu(tool, capsys):
    assert tool("gpu_check") == 2
    assert capsys.readouterr().err.startswith("error: --device cuda: can't be used here (")
