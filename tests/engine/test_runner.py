"""What a training prints, and what only its log file holds."""

import re
import warnings

import pytest
from mmdet.visualization import DetLocalVisualizer
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import print_log

from vanillanet_det.engine.hooks import progress_hook
from vanillanet_det.engine.runner import build_runner
from vanillanet_det.report import read_curves

pytestmark = pytest.mark.usefixtures("mmdet_scope")


class Talkative(Hook):
    """What libraries say in the middle of a training."""

    def after_train_epoch(self, runner):
        print_log("of interest to developers", "current")
        print_log("something is wrong", "current", level=30)
        warnings.warn("an argument will be renamed", FutureWarning, stacklevel=1)


@pytest.fixture
def run(small_config, tmp_path, capsys):
    """Train for two epochs; return the runner, what it printed and what it logged."""

    def run(verbose, **changes):
        cfg = Config.fromfile(small_config)
        cfg.experiment_name = f"{tmp_path.name} {verbose}"  # of the logger
        cfg.work_dir = str(tmp_path)
        cfg.train_cfg.max_epochs = 2
        cfg.merge_from_dict(changes)
        runner = build_runner(cfg, verbose)
        runner.register_hook(Talkative())
        runner.train()
        (log,) = tmp_path.rglob("*.log")
        return runner, capsys.readouterr(), log.read_text()

    return run


def test_a_line_per_epoch_and_nothing_else(run):
    _, printed, logged = run(verbose=False)
    lines = printed.out.splitlines()
    rest = [line for line in lines if "something is wrong" not in line]
    assert rest.pop(0).startswith("Evaluating the fused model: ")
    number = r"\d\.\d{3}"
    scores = rf"loss {number}, AP {number}, AP50 {number}, best {number}"
    epoch = rf"epoch \d/2: {scores}, (\d\d:\d\d left|done)"
    assert len(rest) == 2
    assert all(re.fullmatch(epoch, line) for line in rest)
    assert lines.count("warning: something is wrong") == 1  # MMEngine drops repeated ones
    assert not printed.err
    for text in ("System environment:", "Config:", "Epoch(train)", "of interest", "FutureWarning"):
        assert text in logged
    assert all(line in logged for line in rest)


def test_verbose_prints_the_log(run):
    _, printed, _ = run(verbose=True)
    assert "System environment:" in printed.out
    assert "of interest" in printed.out
    assert "Epoch(train)" in printed.out


def test_the_next_run_of_a_process_writes_into_its_own_folder(small_config, tmp_path):
    for name in ("one", "two"):
        cfg = Config.fromfile(small_config)
        cfg.work_dir, cfg.experiment_name = str(tmp_path / name), f"{tmp_path.name} {name}"
        cfg.train_cfg.max_epochs = 1
        build_runner(cfg, verbose=False).train()
        assert read_curves(tmp_path / name).losses["loss"].x == (1, 2, 3, 4, 5, 6)


@pytest.mark.parametrize("seconds", [0, 3600])
def test_long_epochs_without_a_validation_have_a_line(run, monkeypatch, seconds):
    monkeypatch.setattr(progress_hook, "_LEAST_S", seconds)
    _, printed, _ = run(False, **{"train_cfg.val_interval": 2})
    *others, last = [line for line in printed.out.splitlines() if line.startswith("epoch")]
    assert "AP50" in last
    assert len(others) == (seconds == 0)
    for line in others:
        assert re.fullmatch(r"epoch 1/2: loss \d\.\d{3}, \d\d:\d\d left", line)


def test_a_config_without_the_progress_hook_gets_it(run, small_config):
    cfg = Config.fromfile(small_config)
    hooks = {name: hook for name, hook in cfg.default_hooks.items() if name != "progress"}
    _, printed, _ = run(False, default_hooks=dict(hooks, _delete_=True))
    assert printed.out.count("\nepoch ") == 2


def test_iterations_and_other_metrics(run, monkeypatch):
    monkeypatch.setattr(
        "mmdet.evaluation.CocoMetric.compute_metrics", lambda self, results: {"recall": 0.25}
    )
    loop = dict(type="ResumableIterBasedTrainLoop", max_iters=4, val_interval=2, _delete_=True)
    _, printed, _ = run(False, train_cfg=loop)
    lines = [line for line in printed.out.splitlines() if line.startswith("iteration")]
    assert len(lines) == 2
    assert re.fullmatch(r"iteration 4/4: loss \d\.\d{3}, coco/recall 0.250, done", lines[1])


def test_a_visualizer_by_its_class_and_one_that_does_not_exist(run):
    run(False, **{"visualizer.type": DetLocalVisualizer, "train_cfg.max_epochs": 1})
    with pytest.raises(KeyError, match="NoSuch is not in the"):
        run(False, **{"visualizer.type": "NoSuch"})


def test_metrics_that_are_no_numbers(run, monkeypatch):
    monkeypatch.setattr(
        "mmdet.evaluation.CocoMetric.compute_metrics",
        lambda self, results: {"recall": 0.25, "counts": [1, 2], "name": "x"},
    )
    _, printed, _ = run(False)
    assert "coco/recall 0.250, done" in printed.out


def test_a_validation_that_finds_nothing(run):
    _, printed, _ = run(False, **{"model.test_cfg.score_thr": 0.99})
    assert "The testing results" not in printed.out
    assert len(re.findall(r"epoch \d/2: loss \d\.\d{3}, no metrics, ", printed.out)) == 2
