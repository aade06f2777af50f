"""What a machine can't do is refused before anything slow begins."""

import sys

import pytest
import torch


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU can do float16")
def test_float16_on_the_cpu(tool, small_config, tmp_path, capsys):
    assert tool("train", small_config, "--work-dir", tmp_path, "--amp", "float16") == 2
    error = capsys.readouterr().err
    assert "--amp float16: needs a GPU, but no GPU is available; use --amp bfloat16" in error
    assert "Traceback" not in error


def test_a_type_that_is_none_of_both(tool, small_config, capsys):
    assert tool("train", small_config, "--amp", "int8") == 2
    assert "choose from" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["train", "test"])
def test_a_missing_tensorboard(name, tool, small_config, tmp_path, monkeypatch, capsys):
    for module in ("tensorboard", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, module, None)
    torch.save({"state_dict": {}}, tmp_path / "a.pth")
    args = [tmp_path / "a.pth"] if name == "test" else []
    backends = "visualizer.vis_backends.0.type=TensorboardVisBackend"
    args += ["--work-dir", tmp_path / "w", "--cfg-options", backends]
    assert tool(name, small_config, *args) == 2
    error = capsys.readouterr().err
    assert "needs TensorBoard" in error
    assert "pip install tensorboard" in error
    assert "Traceback" not in error
