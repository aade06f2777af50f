"""Evaluation runs on the fused model, training never does."""

import re

import pytest
import torch
from mmengine.runner import Runner
from torch.nn.modules.batchnorm import _BatchNorm
from torch.testing import assert_close

from vanillanet_det import SwitchToDeployHook, UserError, switch_to_deploy
from vanillanet_det.checkpoints import read_checkpoint
from vanillanet_det.models.deploy import detector_error
from vanillanet_det.models.raw_pixels import RawPixelPreprocessor, fold_normalization


def watch(runner, monkeypatch):
    """Note, for each step, whether the model in use was fused."""
    from mmdet.models import RetinaNet

    forms = []
    for name in ("train_step", "val_step", "test_step"):
        step = getattr(RetinaNet, name)

        def noted(self, *args, _step=step, _name=name, **kwargs):
            forms.append((_name, self.backbone.deploy))
            return _step(self, *args, **kwargs)

        monkeypatch.setattr(RetinaNet, name, noted)
    return forms


def test_training_evaluates_fused_and_trains_unfused(make_runner, monkeypatch):
    runner = make_runner()
    original = runner.model
    forms = watch(runner, monkeypatch)
    runner.train()
    assert set(forms) == {("train_step", False), ("val_step", True)}
    assert forms[-1] == ("val_step", True)
    assert ("train_step", False) in forms[forms.index(("val_step", True)) :], "no second epoch"
    assert runner.model is original
    assert not original.backbone.deploy


def test_checkpoints_hold_the_training_form(make_runner, tmp_path):
    make_runner(**{"default_hooks.checkpoint.save_best": "auto"}).train()
    for path in tmp_path.glob("*.pth"):
        state = read_checkpoint(path)["state_dict"]
        assert "backbone.stem1.0.weight" in state, path.name


def test_test_evaluates_fused_and_restores(make_runner, monkeypatch):
    runner = make_runner()
    original = runner.model
    forms = watch(runner, monkeypatch)
    runner.test()
    assert set(forms) == {("test_step", True)}
    assert runner.model is original


@pytest.mark.parametrize("loop", ["val", "test"])
def test_the_original_comes_back_when_the_epoch_raises(make_runner, monkeypatch, loop):
    runner = make_runner()
    original = runner.model

    def fail(*args, **kwargs):
        raise RuntimeError("broken evaluation")

    monkeypatch.setattr(type(original), f"{loop}_step", fail)
    with pytest.raises(RuntimeError, match="broken evaluation"):
        getattr(runner, loop)()
    assert runner.model is original


def test_with_mmengines_own_loop_it_comes_back_before_the_next_epoch(make_runner, monkeypatch):
    runner = make_runner(val_cfg=dict(type="ValLoop"))
    original = runner.model
    with monkeypatch.context() as patch:
        patch.setattr(type(original), "val_step", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            runner.val()
    assert runner.model is not original
    runner.call_hook("before_train_epoch")
    assert runner.model is original


def test_training_needs_no_test_data(make_runner):
    make_runner(**{"test_dataloader.dataset.ann_file": "nothing.json"}).train()


def test_a_model_without_anything_to_fuse_is_evaluated_as_it_is(make_runner, logged):
    resnet = dict(_delete_=True, type="ResNet", depth=18, base_channels=8, out_indices=(1, 2, 3))
    neck = {"model.neck.in_channels": [16, 32, 64]}
    runner = make_runner(**{"model.backbone": resnet, **neck})
    original = runner.model
    runner.val()
    assert runner.model is original
    assert "Evaluating the model unchanged: it has no deployed form" in logged()


def test_a_merged_network_trains_and_is_evaluated_fused(make_runner, logged):
    runner = make_runner(**{"model.backbone.merged": True})
    runner.train()
    assert runner.model.backbone.form == "merged"
    assert logged().count("Evaluating the fused model") == 2


def test_averaged_weights_are_the_ones_fused(make_runner, monkeypatch):
    ema = dict(type="EMAHook", momentum=0.5)
    runner = make_runner(custom_hooks=[ema])
    seen = []
    switch = SwitchToDeployHook._switch

    def noted(self, runner, in_training):
        switch(self, runner, in_training)
        seen.append(runner.model.backbone.state_dict())

    monkeypatch.setattr(SwitchToDeployHook, "_switch", noted)
    runner.train()
    averaged = next(h for h in runner.hooks if type(h).__name__ == "EMAHook").ema_model.module
    averaged, trained = switch_to_deploy(averaged), switch_to_deploy(runner.model)
    for model in (averaged, trained):
        assert fold_normalization(model)
    assert_close(seen[-1], averaged.backbone.state_dict())
    assert not torch.equal(seen[-1]["stem.0.weight"], trained.backbone.stem[0].weight)


def test_the_network_that_is_evaluated_takes_pixels_as_they_are(make_runner, monkeypatch):
    runner = make_runner()
    original, seen = runner.model.data_preprocessor, []
    switch = SwitchToDeployHook._switch

    def noted(self, runner, in_training):
        switch(self, runner, in_training)
        seen.append(runner.model.data_preprocessor)

    monkeypatch.setattr(SwitchToDeployHook, "_switch", noted)
    runner.val()
    assert [type(preprocessor) for preprocessor in seen] == [RawPixelPreprocessor]
    assert runner.model.data_preprocessor is original
    assert "raw_pixels" not in runner.model.backbone.state_dict()


def test_grey_pictures(make_runner, logged):
    changes = {
        "model.backbone.in_channels": 1,
        "model.data_preprocessor": dict(mean=[120], std=[60], bgr_to_rgb=False),
        "test_dataloader.dataset.pipeline.0.color_type": "grayscale",
    }
    make_runner(**changes).test()
    assert "parameters, features equal" in logged()


@pytest.mark.slow
def test_works_in_bfloat16_training_and_test_time_augmentation(make_runner, monkeypatch):
    runner = make_runner(optim_wrapper=dict(type="Bf16OptimWrapper"))
    runner.train()
    cfg = runner.cfg
    cfg.model = dict(**cfg.tta_model, module=cfg.model)
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.experiment_name += " tta"
    tta = Runner.from_cfg(cfg)
    forms = watch(tta, monkeypatch)
    tta.test()
    assert set(forms) == {("test_step", True)}


def test_says_what_it_evaluates(make_runner, logged):
    make_runner().val()
    assert re.search(
        r"Evaluating the fused model: [\d,]+ -> [\d,]+ parameters, features equal", logged()
    )


def test_a_wrong_fusion_is_caught(make_runner, monkeypatch):
    runner = make_runner()
    backbone = type(runner.model.backbone)
    switch = backbone.switch_to_deploy

    def wrong(self):
        switch(self)
        self.stages[0].conv.weight.data.mul_(1.1)

    monkeypatch.setattr(backbone, "switch_to_deploy", wrong)
    with pytest.raises(RuntimeError, match=r"differ by .* more than the tolerance"):
        runner.val()
    assert not runner.model.backbone.deploy


JOINING = {
    "model.neck": dict(
        _delete_=True,
        type="YOLOXPAFPN",
        in_channels=[16, 16, 16],
        out_channels=16,
        num_csp_blocks=1,
    ),
    "model.data_preprocessor.pad_size_divisor": 1,
    "val_dataloader.dataset.pipeline.1.scale": (224, 224),
    "test_dataloader.dataset.pipeline.1.scale": (224, 224),
}


@pytest.mark.parametrize("pipeline", ["whole", "sides"])
def test_a_neck_that_joins_features_of_unpadded_images(make_runner, logged, pipeline):
    # The scenes are squares, which can be joined; the random image becomes one only here.
    sides = {"val_dataloader.dataset.pipeline.1.keep_ratio": False}
    sides |= {"test_dataloader.dataset.pipeline.1.keep_ratio": False}
    runner = make_runner(**JOINING, **(sides if pipeline == "sides" else {}))
    runner.train()
    warning = "SwitchToDeployHook: the fused features couldn't be compared with the original ones"
    assert logged().count(warning) == (0 if pipeline == "sides" else 1)  # said once
    assert logged().count("parameters, features equal") == (2 if pipeline == "sides" else 0)
    assert logged().count("Evaluating the fused model") == 2


def test_the_check_leaves_mode_and_random_numbers_alone(make_runner, randomize_norms):
    model = make_runner().model.train()
    randomize_norms(model.backbone, torch.randn(2, 3, 96, 128))
    model.backbone.stages[1].eval()
    modes = [m.training for m in model.modules()]
    state = torch.get_rng_state()
    assert 0 < detector_error(model, switch_to_deploy(model)) < 1e-5
    assert [m.training for m in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("loop", ["val", "test"])
def test_fusion_refused_during_evaluation_leaves_the_original(make_runner, loop):
    runner = make_runner()
    original = runner.model
    original.backbone.set_act_lambda(0.5)
    with pytest.raises(UserError, match=r"lambda is 0\.5; .* fuse after deep training"):
        getattr(runner, loop)()
    assert runner.model is original


@pytest.mark.slow
def test_validation_below_lambda_1_is_unfused_and_says_so_once(make_runner, monkeypatch, logged):
    hooks = [dict(type="DeepTrainingHook", end=2)]
    runner = make_runner(**{"train_cfg.max_epochs": 4}, custom_hooks=hooks)
    forms = watch(runner, monkeypatch)
    runner.train()
    evaluated = [deploy for step, deploy in forms if step == "val_step"]
    each = len(evaluated) // 4
    assert evaluated == [False] * 2 * each + [True] * 2 * each
    said = "Evaluating the unfused model until it can be fused: lambda is 0, and DeepTrainingHook"
    assert logged().count("Evaluating the unfused model") == 1
    assert f"{said} sets it to 1 at the start of epoch 3" in logged()
    assert logged().count("Evaluating the fused model") == 2
    runner.model.backbone.set_act_lambda(0.5)
    with pytest.raises(UserError, match=r"lambda is 0\.5, .*--no-deploy"):
        runner.test()


def test_a_second_one_is_refused(make_runner):
    runner = make_runner(custom_hooks=[dict(type="SwitchToDeployHook")])
    with pytest.raises(UserError, match=r"configured twice"):
        runner.val()


@pytest.mark.parametrize("tolerance", [0, -1])
def test_tolerance_that_makes_no_sense(tolerance):
    with pytest.raises(UserError, match="tolerance"):
        SwitchToDeployHook(tolerance=tolerance)


def test_channels_last_reaches_every_kernel(make_runner):
    runner = make_runner()
    runner.train()
    kernels = [p for p in runner.model.parameters() if p.ndim == 4]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in kernels)
    groups = runner.optim_wrapper.optimizer.param_groups
    trained = {id(p) for group in groups for p in group["params"]}
    assert all(id(p) in trained for p in kernels), "the optimizer holds other tensors"


def test_no_batchnorm_is_left_in_what_is_evaluated(make_runner):
    fused = switch_to_deploy(make_runner().model)
    assert not any(isinstance(m, _BatchNorm) for m in fused.modules())
