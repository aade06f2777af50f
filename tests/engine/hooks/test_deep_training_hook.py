"""Lambda rises on schedule, is logged, and is the same after a resume."""

import json
import math

import pytest
import torch
from mmengine.runner import Runner

from vanillanet_det import DeepTrainingHook, UserError, switch_to_deploy
from vanillanet_det.apis import convert_checkpoint
from vanillanet_det.checkpoints import read_checkpoint


def hooks(**kwargs):
    return dict(custom_hooks=[dict(type="DeepTrainingHook", **kwargs)])


def note_lambda(runner, monkeypatch):
    """Note lambda in each step of the training."""
    noted = []
    step = type(runner.model).train_step

    def train_step(self, *args, **kwargs):
        noted.append(float(self.backbone.act_lambda))
        return step(self, *args, **kwargs)

    monkeypatch.setattr(type(runner.model), "train_step", train_step)
    return noted


def logged_lambda(folder):
    """Read the curve that visualisers draw."""
    (path,) = folder.rglob("vis_data/scalars.json")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row["act_lambda"] for row in rows if "act_lambda" in row]


@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        (dict(end=4), [0, 0.25, 0.5, 0.75, 1, 1]),
        (dict(end=4, schedule="cosine"), [0.5 * (1 - math.cos(math.pi * s / 4)) for s in range(5)]),
        (dict(begin=2, end=4), [0, 0, 0, 0.5, 1]),
        (dict(end=1), [0, 1]),
    ],
)
def test_schedules(kwargs, expected):
    hook = DeepTrainingHook(**kwargs)
    assert [hook.value(step) for step in range(len(expected))] == pytest.approx(expected)
    for schedule in ("linear", "cosine"):
        assert DeepTrainingHook(end=7, schedule=schedule).value(7) == 1, "fusion asks for 1"


@pytest.mark.slow
def test_by_epoch_it_is_set_logged_and_fusable_at_the_end(make_runner, monkeypatch, tmp_path):
    runner = make_runner(**{"train_cfg.max_epochs": 3}, **hooks(end=2))
    noted = note_lambda(runner, monkeypatch)
    runner.train()
    each = len(noted) // 3
    expected = [0] * each + [0.5] * each + [1] * each
    assert noted == expected
    assert logged_lambda(tmp_path) == expected
    state = read_checkpoint(tmp_path / "epoch_2.pth")["state_dict"]
    assert float(state["backbone.act_lambda"]) == 0.5
    switch_to_deploy(runner.model)


def test_by_iteration(make_runner, monkeypatch, tmp_path):
    runner = make_runner(**hooks(end=4, by_epoch=False, schedule="cosine"))
    noted = note_lambda(runner, monkeypatch)
    runner.train()
    expected = [DeepTrainingHook(end=4, schedule="cosine").value(i) for i in range(12)]
    assert noted == pytest.approx(expected)
    assert logged_lambda(tmp_path) == pytest.approx(expected, abs=1e-4)


def test_by_iteration_in_a_training_that_counts_them(make_runner, monkeypatch):
    runner = make_runner(**hooks(end=2, by_epoch=False))
    cfg = runner.cfg
    cfg.train_cfg = dict(type="IterBasedTrainLoop", max_iters=4, val_interval=9)
    cfg.param_scheduler = None
    cfg.experiment_name += " by iteration"
    cfg.log_processor.by_epoch = False
    runner = Runner.from_cfg(cfg)
    noted = note_lambda(runner, monkeypatch)
    runner.train()
    assert noted == [0, 0.5, 1, 1]


@pytest.mark.slow
@pytest.mark.parametrize("by_epoch", [True, False])
def test_resumed_it_goes_on_where_it_was(make_runner, monkeypatch, tmp_path, by_epoch):
    kwargs = hooks(end=2 if by_epoch else 12, by_epoch=by_epoch)
    runner = make_runner(**{"train_cfg.max_epochs": 3}, **kwargs)
    undisturbed = note_lambda(runner, monkeypatch)
    runner.train()
    noted_before = list(undisturbed)
    resumed = make_runner(
        **{"train_cfg.max_epochs": 3, "load_from": str(tmp_path / "epoch_1.pth"), "resume": True},
        **kwargs,
    )
    undisturbed.clear()  # still notes, the class is watched
    resumed.train()
    assert undisturbed == noted_before[len(noted_before) // 3 :]


@pytest.mark.slow
def test_the_validation_that_was_left_out_is_at_the_lambda_of_its_weights(
    make_runner, monkeypatch, tmp_path
):
    make_runner(**hooks(end=1)).train()
    (tmp_path / "validation_left").write_text("6")
    resume = dict(load_from=str(tmp_path / "epoch_1.pth"), resume=True)
    runner, validated = make_runner(**resume, **hooks(end=1)), []
    step = type(runner.model).val_step

    def val_step(self, *args, **kwargs):
        validated.append(self.backbone.read_lambda())
        return step(self, *args, **kwargs)

    monkeypatch.setattr(type(runner.model), "val_step", val_step)
    runner.train()
    each = len(validated) // 2
    assert validated == [0] * each + [1] * each


def test_averaged_weights_have_the_lambda_of_the_others(make_runner, monkeypatch):
    ema = dict(type="EMAHook", momentum=0.1, update_buffers=True)
    runner = make_runner(custom_hooks=[dict(type="DeepTrainingHook", end=1), ema])
    runner.train()
    averaged = next(hook.ema_model for hook in runner.hooks if hasattr(hook, "ema_model")).module
    # Averaged itself, it would come near 1 and never be fusable.
    assert float(averaged.backbone.act_lambda) == 1
    switch_to_deploy(averaged)


def test_fusion_before_the_end_says_when_it_will_be_possible(make_runner):
    runner = make_runner(**hooks(end=1))
    hook = next(hook for hook in runner.hooks if isinstance(hook, DeepTrainingHook))
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    hook.before_train(runner)
    with pytest.raises(
        UserError, match="lambda is 0, and DeepTrainingHook sets it to 1 at the start of epoch 2"
    ):
        switch_to_deploy(runner.model)


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        (dict(end=2), "training ends after 2, .* expected end to be at most 1"),
        (dict(end=99, by_epoch=False), "from iteration 99 .* training ends after 12"),
    ],
)
def test_a_training_that_ends_too_early_is_refused(make_runner, kwargs, said):
    with pytest.raises(UserError, match=said):
        make_runner(**hooks(**kwargs)).train()


@pytest.mark.parametrize("source", ["load_from", "backbone", "in_a_list", "detector"])
def test_weights_at_a_higher_lambda_are_not_trained_at_a_lower_one(make_runner, tmp_path, source):
    model = make_runner().model
    torch.save({"state_dict": model.state_dict()}, tmp_path / "a.pth")
    path = str(tmp_path / "a.pth")
    pretrained = dict(type="Pretrained", checkpoint=path)
    initialised = dict(type="TruncNormal", layer="Conv2d")
    of_backbone = dict(pretrained, prefix="backbone.")
    changes = {
        "load_from": dict(load_from=path),
        "backbone": {"model.backbone.init_cfg": pretrained},
        "in_a_list": {"model.backbone.init_cfg": [initialised, of_backbone]},
        "detector": {"model.init_cfg": pretrained},
    }[source]
    with pytest.raises(UserError, match=r"have lambda 1, but the schedule starts at lambda 0"):
        make_runner(**changes, **hooks(end=1)).train()


def test_a_resumed_schedule_does_not_fall_behind(make_runner, tmp_path):
    make_runner(**hooks(end=1)).train()
    resume = dict(load_from=str(tmp_path / "epoch_2.pth"), resume=True)
    longer = {"train_cfg.max_epochs": 9, **hooks(end=8)}
    with pytest.raises(UserError, match=r"have lambda 1, .* starts at lambda 0\.25.* resume with"):
        make_runner(**resume, **longer).train()


def test_weights_at_the_lambda_it_begins_with_are_welcome(make_runner, tmp_path):
    model = make_runner().model
    model.backbone.set_act_lambda(0)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "a.pth")
    make_runner(load_from=str(tmp_path / "a.pth"), **hooks(end=1)).train()


def test_a_checkpoint_says_when_it_could_be_fused(make_runner, tmp_path):
    make_runner(**hooks(end=1)).train()
    path = str(tmp_path / "epoch_1.pth")
    said = "lambda is 0, and DeepTrainingHook sets it to 1 at the start of epoch 2; .*--no-deploy"
    with pytest.raises(UserError, match=said):
        make_runner(load_from=path).test()
    with pytest.raises(UserError, match=said):
        convert_checkpoint(path, str(tmp_path / "fused.pth"), deploy=True)


def test_epochs_in_a_training_that_counts_iterations_are_refused(make_runner):
    runner = make_runner(**hooks(end=1))
    cfg = runner.cfg
    cfg.train_cfg = dict(type="IterBasedTrainLoop", max_iters=4)
    cfg.param_scheduler = None
    cfg.experiment_name += " by iteration"
    with pytest.raises(UserError, match="counts iterations; set by_epoch=False"):
        Runner.from_cfg(cfg).train()


def test_a_model_without_lambda_is_refused(make_runner):
    resnet = dict(_delete_=True, type="ResNet", depth=18, out_indices=(1, 2, 3))
    changes = {"model.backbone": resnet, "model.neck.in_channels": [128, 256, 512]}
    with pytest.raises(UserError, match="the model has no lambda"):
        make_runner(**changes, **hooks(end=1)).train()


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        (dict(end=0), "begin 0 and end 0; expected 0 <= begin < end"),
        (dict(end=3, begin=3), "expected 0 <= begin < end"),
        (dict(end=3, begin=-1), "expected 0 <= begin < end"),
        (dict(end=3, schedule="step"), "schedule 'step'; expected 'linear' or 'cosine'"),
    ],
)
def test_numbers_that_make_no_schedule(kwargs, said):
    with pytest.raises(UserError, match=said):
        DeepTrainingHook(**kwargs)


def test_a_merged_network_has_no_lambda(make_runner):
    runner = make_runner(**{"model.backbone.merged": True}, **hooks(end=1))
    with pytest.raises(UserError, match="the model has no lambda"):
        runner.train()


def test_an_early_stop_that_might_come_before_lambda_is_1_is_refused(make_runner):
    stop = dict(type="EarlyStoppingHook", monitor="coco/bbox_mAP")
    runner = make_runner(custom_hooks=[dict(type="DeepTrainingHook", end=1), stop])
    with pytest.raises(UserError, match=r"use type='DeployableEarlyStoppingHook'"):
        runner.train()
