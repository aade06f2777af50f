"""A training ends once its metric no longer rises, and never with a network that can't be fused."""

import pytest
from mmdet.evaluation import CocoMetric

from vanillanet_det import UserError

pytestmark = pytest.mark.slow

KEY = "coco/bbox_mAP"


def stopping(**changes):
    hook = dict(type="DeployableEarlyStoppingHook", monitor=KEY, min_delta=0.01, patience=2)
    return {
        "default_hooks.early_stopping": {**hook, **changes},
        "train_dataloader.dataset.indices": 4,
        "val_dataloader.dataset.indices": 2,
    }


@pytest.fixture
def judged(monkeypatch):
    """Let the evaluations of a training find these values."""

    def let(*values):
        found = iter(values)
        monkeypatch.setattr(
            CocoMetric, "compute_metrics", lambda self, results: {"bbox_mAP": next(found)}
        )

    return let


def test_it_ends_after_as_many_validations_without_a_rise(make_runner, judged, logged):
    judged(0.1, 0.2, 0.205, 0.2, 0.9)
    runner = make_runner(**{"train_cfg.max_epochs": 5}, **stopping())
    runner.train()
    assert runner.epoch == 4
    assert "did not improve in the last 2 records" in logged()


def test_validations_between_epochs_without_one_are_counted(make_runner, judged):
    judged(0.2, 0.2, 0.2)
    changes = {"train_cfg.max_epochs": 8, "train_cfg.val_interval": 2}
    runner = make_runner(**changes, **stopping())
    runner.train()
    assert runner.epoch == 6


def test_below_lambda_1_nothing_is_counted(make_runner, judged):
    # The best comes from the network with lambda below 1, and is none of the one that is left.
    judged(0.9, 0.8, 0.7, 0.1, 0.2, 0.2, 0.2, 0.9)
    deep = [dict(type="DeepTrainingHook", end=3)]
    runner = make_runner(**{"train_cfg.max_epochs": 8}, custom_hooks=deep, **stopping())
    runner.train()
    assert runner.epoch == 7
    hook = next(hook for hook in runner.hooks if hasattr(hook, "patience"))
    assert hook.best_score == 0.2
    assert runner.model.backbone.read_lambda() == 1


def test_resumed_it_goes_on_counting(make_runner, judged, tmp_path):
    judged(*[0.3] * 9)
    make_runner(**{"train_cfg.max_epochs": 3}, **stopping(patience=3)).train()
    resumed = make_runner(
        **{"train_cfg.max_epochs": 9, "load_from": str(tmp_path / "epoch_3.pth"), "resume": True},
        **stopping(patience=3),
    )
    resumed.train()
    # The checkpoint was written before the third validation, so it holds one without a rise.
    assert resumed.epoch == 5


def test_the_validation_that_was_left_out_is_counted(make_runner, judged, tmp_path):
    judged(0.9, *[0.3] * 9)
    make_runner(**{"train_cfg.max_epochs": 2}, **stopping(patience=3)).train()
    (tmp_path / "validation_left").write_text("2")
    resumed = make_runner(
        **{"train_cfg.max_epochs": 9, "load_from": str(tmp_path / "epoch_2.pth"), "resume": True},
        **stopping(patience=3),
    )
    resumed.train()
    hook = next(hook for hook in resumed.hooks if hasattr(hook, "patience"))
    assert (hook.best_score, resumed.epoch) == (0.9, 4)


def test_a_metric_that_nobody_finds_is_named(make_runner, judged):
    judged(0.1)
    with pytest.raises(
        UserError, match=r"monitor 'coco/AP': expected one of the validation metrics: coco/bbox_mAP"
    ):
        make_runner(**stopping(monitor="coco/AP", rule="greater", strict=True)).train()


def test_evaluation_alone_needs_no_training_data(make_runner, judged):
    judged(0.5, 0.5, 0.5)
    nothing = {"train_dataloader.dataset.ann_file": "nothing.json"}
    runner = make_runner(**nothing, **stopping(patience=1))
    runner.val()
    runner.val()
    runner.test()
