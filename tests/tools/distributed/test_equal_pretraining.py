"""Two ranks train a classifier as one process does with the same batch."""

import pytest
from test_equal_runs import mean_losses
from torch.testing import assert_close

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("distributed")]

RECORDED = """
_base_ = ["{base}"]
custom_imports = dict(imports=["vanillanet_det", "recording_hooks"])
custom_hooks = [dict(type="DeepTrainingHook", end=1), dict(type="RecordLosses")]
"""
# Mixup mixes the images of a rank, and dropout isn't that of the whole batch.
ALIKE = ("--mixup", "0", "--cutmix", "0", "--drop-rate", "0", "--sync-bn", "--workers", "0")


@pytest.fixture
def config(tool, digit_images, tmp_path):
    args = ("--model", "small", "--width", "8", "--epochs", "2", "--batch-size", "16")
    args += ("--input-size", "32", "--work-dir", tmp_path / "run", "--dry-run", *ALIKE)
    assert tool("pretrain", digit_images, *args) == 0
    path = tmp_path / "recorded.py"
    path.write_text(RECORDED.format(base=tmp_path / "run/config/pretrain.py"))
    return path


def test_losses_are_those_of_one_process(
    config, tool, torchrun, losses, tmp_path, environment, monkeypatch
):
    monkeypatch.syspath_prepend(environment["PYTHONPATH"])
    monkeypatch.setattr("mmengine.device.utils.DEVICE", "cpu")
    assert tool("train", config, "--work-dir", tmp_path / "one") == 0
    eight = ("--cfg-options", "train_dataloader.batch_size=8")
    result = torchrun("train", config, "--work-dir", tmp_path / "two", *eight)
    assert result.returncode == 0, result.stderr
    expected = list(losses(tmp_path / "one").values())
    assert len(expected) == 10
    assert_close(mean_losses(losses, tmp_path / "two"), expected[:5], rtol=1e-4, atol=0)
