"""The length of a run, from what its iterations and validations take."""

import math

import pytest
from mmengine.config import Config

from vanillanet_det import UserError
from vanillanet_det.finetune import cost
from vanillanet_det.finetune.cost import Cost, extend, fit_length, fit_workers, measure_cost

CHEAP = Cost(iteration=0.5, evaluation=2.0, loading=0.02, length=20, num_bytes=1_200_000_000)


@pytest.fixture
def cfg():
    return Config(
        dict(
            train_cfg=dict(type="EpochBasedTrainLoop", max_epochs=30, val_interval=1),
            default_hooks=dict(checkpoint=dict(type="CheckpointHook", interval=1)),
            param_scheduler=[dict(type="WarmUpFlatCosineLR", warm_up=200)],
            finetune=dict(epochs=30),
            custom_hooks=[dict(type="EMAHook", momentum=0.005)],
        )
    )


def test_a_number_of_epochs_is_kept_and_its_time_said(cfg):
    text = fit_length(cfg, CHEAP, None)
    # 30 x (20 x 0.5 + 2) seconds, the evaluation for the report, and the rest
    assert text.startswith("Training takes about 7 minutes and 1.2 GB on ")
    assert text.endswith(": 30 epochs of 20 iterations, 0.50 s each")
    assert (cfg.train_cfg.max_epochs, cfg.train_cfg.val_interval) == (30, 1)
    assert "time_limit" not in cfg.default_hooks
    assert cfg.custom_hooks[0].momentum == 0.005


def test_a_time_sets_the_number_of_epochs(cfg):
    text = fit_length(cfg, CHEAP, 600.0)
    assert text.startswith("Training takes about 10 minutes")
    limit = cfg.default_hooks.time_limit
    assert limit.seconds == 600 - 2 - 8  # without the report
    assert limit.iterations == pytest.approx(590 / (10 + 2 / 2) * 20, abs=20)
    assert cfg.train_cfg.val_interval == cfg.default_hooks.checkpoint.interval == 2
    assert cfg.train_cfg.max_epochs > 1000  # the hook ends the training
    assert cfg.param_scheduler[0].warm_up == limit.iterations // 10
    assert cfg.custom_hooks[0].momentum == pytest.approx(20 / limit.iterations)


@pytest.mark.parametrize(("loading", "workers"), [(0.02, 0), (0.3, 2)])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_workers_are_for_images_that_take_long_to_load(monkeypatch, loading, workers, device):
    monkeypatch.setattr(cost, "get_device", lambda: device)
    keys = ("train_dataloader", "val_dataloader", "test_dataloader")
    loader = dict(num_workers=2, persistent_workers=True)
    cfg = Config({key: dict(loader) for key in keys})
    fit_workers(cfg, Cost(0.5, 2.0, loading, 20, None))
    workers = 2 if device == "cuda" else workers
    assert [cfg[key].num_workers for key in keys] == [workers] * 3
    assert [cfg[key].persistent_workers for key in keys] == [workers > 0] * 3


def test_short_epochs_are_validated_thirty_times_at_most(cfg):
    fit_length(cfg, Cost(0.1, 0.1, 0.01, 20, None), 600.0)
    epochs = cfg.default_hooks.time_limit.iterations / 20
    assert 200 < epochs < 300
    assert cfg.train_cfg.val_interval == math.ceil(epochs / 30)


def test_one_epoch_is_longer_than_the_time(cfg):
    text = fit_length(cfg, Cost(10.0, 60.0, 0.1, 1000, None), 300.0)
    assert text.startswith("Training takes about 5 minutes on ")
    assert "1 epoch of 1000 iterations" in text
    assert cfg.default_hooks.time_limit.seconds == 232


@pytest.mark.parametrize("seconds", [125.0, 5.0, -3.0])
def test_too_little_time_for_a_batch_and_its_validation(cfg, seconds):
    with pytest.raises(UserError, match=r"isn't enough for a batch and two validations of 60 s"):
        fit_length(cfg, Cost(10.0, 60.0, 0.1, 1000, None), seconds)


@pytest.mark.parametrize(
    ("iteration", "words"),
    [(0.01, "about 1 minute "), (0.5, "about 6 minutes "), (60.0, "about 10 hours ")],
)
def test_units(cfg, iteration, words):
    assert words in fit_length(cfg, Cost(iteration, 0.1, 0.1, 20, 10**9), None)


def test_a_run_can_be_made_longer(cfg):
    extend(cfg, epochs=50, minutes=None)
    assert cfg.train_cfg.max_epochs == cfg.finetune.epochs == 50
    with pytest.raises(UserError, match="is set in epochs \\(50\\); use --epochs"):
        extend(cfg, epochs=None, minutes=3)
    fit_length(cfg, CHEAP, 600.0)
    extend(cfg, epochs=None, minutes=3)
    assert cfg.default_hooks.time_limit.seconds == 590 + 180
    extend(cfg, epochs=70, minutes=None)
    assert cfg.train_cfg.max_epochs == 70
    assert "time_limit" not in cfg.default_hooks


def test_batches_are_timed_and_nothing_is_changed(small_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cost = measure_cost(Config.fromfile(small_config))
    assert cost.length == 6
    assert cost.iteration > 0
    assert cost.evaluation > 0
    assert cost.num_bytes is None or cost.num_bytes > 10**8
    assert not list(tmp_path.iterdir())
