"""A run that can't go well doesn't begin, whoever starts it; a warning is logged once."""

import pytest

from vanillanet_det import UserError
from vanillanet_det.apis.train import train
from vanillanet_det.engine.hooks import CheckDataHook, check_data_hook


@pytest.fixture
def checked(monkeypatch):
    """How often everything was checked."""
    calls = []
    real = check_data_hook.check_config
    monkeypatch.setattr(
        check_data_hook, "check_config", lambda *a, **k: calls.append(k) or real(*a, **k)
    )
    return calls


def test_only_what_a_run_uses_is_checked(make_runner, checked):
    wrong = {"model.bbox_head.num_classes": 3}
    for method, keys in (
        ("train", ["train_dataloader", "val_dataloader"]),
        ("val", ["val_dataloader"]),
        ("test", ["test_dataloader"]),
    ):
        with pytest.raises(UserError, match="there are 10 classes"):
            getattr(make_runner(**wrong), method)()
        assert checked.pop() == dict(images=False, dataloaders=keys)


def test_warnings_are_logged_and_training_goes_on(make_runner, checked, logged):
    runner = make_runner(**{"auto_scale_lr.base_batch_size": 64, "train_cfg.max_epochs": 1})
    runner.train()
    assert len(checked) == 1
    assert logged().count("is meant for a batch size of 64") == 1
    assert "1 warnings about the config and its data:\nwarning: optim_wrapper" in logged()


@pytest.mark.slow
def test_training_by_the_tool_checks_once_and_logs_once(small_config, tmp_path, checked, logged):
    options = ["auto_scale_lr.base_batch_size=64", "train_cfg.max_epochs=1"]
    train(str(small_config), str(tmp_path), cfg_options=options)
    assert len(checked) == 1
    assert logged().count("is meant for a batch size of 64") == 1


def test_the_tool_checks_a_config_without_the_hook(small_config, tmp_path):
    options = ["default_hooks.check_data=None", "model.bbox_head.num_classes=3"]
    with pytest.raises(UserError, match="num_classes is 3"):
        train(str(small_config), str(tmp_path), cfg_options=options)


def test_the_hook_is_in_every_run_of_the_project(make_runner):
    assert any(isinstance(hook, CheckDataHook) for hook in make_runner().hooks)
