"""How long a fine-tuning run is, from its first line to the last."""

import time

import pytest
from mmengine.config import Config

from vanillanet_det.apis.finetune import finetune
from vanillanet_det.checkpoints import read_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("finetune")]


def test_a_time_and_then_more_of_it(example, tmp_path, capsys):
    """Of a minute, half is left, of which the report needs a part."""
    began = time.monotonic() - 30
    finetune(str(example), model="nano", minutes=1, work_dir=str(tmp_path), began=began)
    out = capsys.readouterr().out
    assert "Training takes about 1 minute" in out
    assert (tmp_path / "deployed.pth").is_file()
    config = tmp_path / "config/finetune.py"
    limit = Config.fromfile(config).default_hooks.time_limit
    assert 0 < limit.seconds < 30
    assert Config.fromfile(config).val_dataloader.dataset.pipeline[1].scale == (160, 160)
    done = read_checkpoint((tmp_path / "last_checkpoint").read_text())["meta"]["epoch"]
    finetune(str(example), resume=True, epochs=done + 1, work_dir=str(tmp_path))
    assert (tmp_path / f"epoch_{done + 1}.pth").is_file()
    assert "time_limit" not in Config.fromfile(config).default_hooks


def test_epochs_and_then_more_of_them(example, tool, tmp_path, capsys):
    where = ("--work-dir", tmp_path)
    assert tool("finetune", example, "--model", "nano", "--epochs", "1", *where) == 0
    assert "1 epoch of " in capsys.readouterr().out
    assert tool("finetune", example, "--resume", "--minutes", "3", *where) == 2
    assert "the length of this run is set in epochs (1); use --epochs" in capsys.readouterr().err
    config = (tmp_path / "config/finetune.py").read_bytes()
    assert tool("finetune", example, "--resume", "--epochs", "5", "--dry-run", *where) == 0
    assert (tmp_path / "config/finetune.py").read_bytes() == config
    assert tool("finetune", example, "--resume", "--epochs", "2", *where) == 0
    assert tool("finetune", example, "--resume", "--epochs", "1", *where) == 2
    assert "--epochs 1: the run has already 2; expected more" in capsys.readouterr().err
    assert read_checkpoint(tmp_path / "epoch_2.pth")["meta"]["epoch"] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--minutes", "0.5"), "--minutes 0.5: expected a number of at least 1"),
        (("--minutes", "nan"), "--minutes nan: expected"),
        (("--minutes", "5", "--epochs", "3"), "each sets the length of training; omit one"),
    ],
)
def test_mistakes(example, tool, tmp_path, capsys, options, message):
    assert tool("finetune", example, *options, "--work-dir", tmp_path / "w") == 2
    assert message in capsys.readouterr().err
