"""curves.png while a training runs, whatever happens to it."""

from types import SimpleNamespace

import pytest
from PIL import Image

import vanillanet_det.report
from vanillanet_det.engine.hooks.curves_hook import CurvesHook
from vanillanet_det.report import read_curves

pytestmark = pytest.mark.slow


@pytest.fixture
def drawn(monkeypatch):
    """What the hook draws, call by call."""
    calls = []
    real = vanillanet_det.report.draw_curves

    def draw(curves, path):
        calls.append(curves)
        real(curves, path)

    monkeypatch.setattr(vanillanet_det.report, "draw_curves", draw)
    return calls


def with_hook(runner):
    runner.register_hook(CurvesHook())
    return runner


def test_curves_are_drawn_after_each_epoch_and_validation(
    make_runner, drawn, tmp_path, monkeypatch
):
    monkeypatch.setattr("vanillanet_det.engine.hooks.curves_hook._PAUSE", 0)
    with_hook(make_runner()).train()
    with Image.open(tmp_path / "curves.png") as image:
        image.load()
    losses = [curves.losses["loss"].x[-1] for curves in drawn]
    assert losses == [6, 6, 12, 12, 12]
    epochs = [max((s.x[-1] for s in curves.metrics.values()), default=0) for curves in drawn]
    assert epochs == [0, 1, 1, 2, 2]
    assert drawn[-1] == read_curves(tmp_path)
    assert {"loss", "loss_cls", "loss_bbox"} <= set(drawn[-1].losses)
    assert {"coco/bbox_mAP", "coco/bbox_mAP_50"} <= set(drawn[-1].metrics)
    assert drawn[-1].learning_rate.x == tuple(range(1, 13))
    assert drawn[-1].act_lambda is None


def test_slow_plots_are_fewer_and_the_last_one_is_drawn(make_runner, drawn, monkeypatch):
    times = iter(range(100))
    clock = SimpleNamespace(monotonic=lambda: next(times))
    monkeypatch.setattr("vanillanet_det.engine.hooks.curves_hook.time", clock)
    with_hook(make_runner()).train()
    assert [curves.losses["loss"].x[-1] for curves in drawn] == [6, 12]


def test_lambda_is_drawn(make_runner, drawn):
    hook = dict(type="DeepTrainingHook", end=1)
    with_hook(make_runner(custom_hooks=[hook])).train()
    assert drawn[-1].act_lambda.y == (0.0,) * 6 + (1.0,) * 6


def test_a_folder_in_the_way_is_said_once_and_ends_no_training(make_runner, logged, tmp_path):
    (tmp_path / "curves.png").mkdir()
    (tmp_path / "curves.png/file").touch()
    runner = with_hook(make_runner())
    runner.train()
    assert runner.epoch == 2
    assert logged().count("CurvesHook: the curves can't be drawn") == 1
    assert "curves.png: can't be written (Is a directory)" in logged()


def test_other_ranks_draw_nothing(make_runner, drawn, monkeypatch):
    runner = make_runner()
    monkeypatch.setattr("mmengine.dist.utils.get_rank", lambda group=None: 1)
    hook = CurvesHook()
    hook.after_train_epoch(runner)
    hook.after_val_epoch(runner)
    hook.after_train(runner)
    assert not drawn


def test_evaluation_alone_draws_nothing(make_runner, drawn, tmp_path):
    with_hook(make_runner()).val()
    assert not drawn
    assert not (tmp_path / "curves.png").exists()
