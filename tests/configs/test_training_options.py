"""The configs of training options, on a small detector: each is on, and evaluates fused."""

import json
import re

import pytest
import torch
from mmdet.models import RetinaNet
from mmengine.hooks import EMAHook
from torch.testing import assert_close

from vanillanet_det import SwitchToDeployHook, UserError, VanillaNet, switch_to_deploy
from vanillanet_det.apis import test as evaluate
from vanillanet_det.apis import train
from vanillanet_det.checkpoints import read_checkpoint

pytestmark = pytest.mark.slow

BASE = "retinanet_vanillanet11_coco"
FEW = [
    "train_cfg.max_epochs=2",
    "train_dataloader.dataset.indices=8",
    "val_dataloader.dataset.indices=2",
    "test_dataloader.dataset.indices=2",
]
# The average of a few steps is hardly one at the pace of a long training.
FAST_AVERAGE = "default_hooks.ema.gamma=2"
NO_RISE = ["default_hooks.early_stopping.min_delta=2", "default_hooks.early_stopping.patience=1"]


@pytest.fixture
def config(root, small_config, tmp_path):
    """Function that puts what configs of options hold on top of the small detector."""

    def make(*options):
        base = small_config
        for option in options:
            text = (root / f"configs/{BASE}_{option}.py").read_text()
            assert text.count(f'_base_ = "{BASE}.py"') == 1
            path = tmp_path / f"{option}.py"
            path.write_text(text.replace(f"{BASE}.py", str(base)))
            base = path
        return str(base)

    return make


@pytest.fixture
def seen(monkeypatch):
    """For each step of a detector its name, whether it is fused, and its features' type."""
    steps, current = [], []
    forward = VanillaNet.forward

    def noted_forward(self, x):
        features = forward(self, x)
        if current:
            steps.append((current[-1], self.deploy, features[0].dtype))
        return features

    monkeypatch.setattr(VanillaNet, "forward", noted_forward)
    for name in ("train_step", "val_step", "test_step"):
        step = getattr(RetinaNet, name)

        def noted(self, *args, _step=step, _name=name, **kwargs):
            current.append(_name)
            try:
                return _step(self, *args, **kwargs)
            finally:
                current.pop()

        monkeypatch.setattr(RetinaNet, name, noted)
    return steps


@pytest.fixture
def evaluated(monkeypatch):
    """The weights of each backbone that was evaluated."""
    states = []
    switch = SwitchToDeployHook._switch

    def noted(self, runner, in_training):
        switch(self, runner, in_training)
        model = getattr(runner.model, "module", runner.model)
        states.append({k: v.clone() for k, v in model.backbone.state_dict().items()})

    monkeypatch.setattr(SwitchToDeployHook, "_switch", noted)
    return states


@pytest.fixture
def averages(monkeypatch):
    """The EMAHooks that were used."""
    hooks = []
    before_run = EMAHook.before_run

    def noted(self, runner):
        hooks.append(self)
        before_run(self, runner)

    monkeypatch.setattr(EMAHook, "before_run", noted)
    return hooks


def fused_weights(state):
    """Fuse the backbone of a detector's state, and fold the image's normalisation into it."""
    own = {k[len("backbone.") :]: v for k, v in state.items() if k.startswith("backbone.")}
    backbone = VanillaNet(dict(dims=[8, 16, 16, 16], strides=[2, 2, 2]))
    backbone.load_state_dict(own)
    fused = switch_to_deploy(backbone.eval())
    mean, std = torch.tensor([[123.675, 116.28, 103.53], [58.395, 57.12, 57.375]]).double()
    assert fused.fold_normalization(mean, std, flip=True)
    return fused.state_dict()


def scalars(folder):
    (path,) = folder.rglob("vis_data/scalars.json")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_average_is_evaluated_fused_saved_and_tested(
    config, tmp_path, seen, evaluated, averages
):
    path, work_dir = config("ema"), tmp_path / "w"
    options = [*FEW, FAST_AVERAGE, "default_hooks.checkpoint.save_best=coco/bbox_mAP"]
    train(path, str(work_dir), cfg_options=options)
    assert {step[:2] for step in seen} == {("train_step", False), ("val_step", True)}
    trained = averages[0].src_model.state_dict()
    averaged = averages[0].ema_model.module.state_dict()
    # BatchNorm's statistics, buffers, are fused into these kernels.
    assert_close(evaluated[-1], fused_weights(averaged), rtol=0, atol=0)
    difference = evaluated[-1]["stem.0.weight"] - fused_weights(trained)["stem.0.weight"]
    assert difference.abs().max() > 1e-5
    assert not torch.equal(
        averaged["backbone.stem1.1.running_mean"], trained["backbone.stem1.1.running_mean"]
    )

    last = read_checkpoint(work_dir / "epoch_2.pth")["state_dict"]
    assert_close(dict(last), dict(averaged), rtol=0, atol=0)
    (best,) = work_dir.glob("best_coco_bbox_mAP_epoch_*.pth")
    epoch = int(best.stem.rpartition("_")[2])
    state = read_checkpoint(best)["state_dict"]
    assert_close(fused_weights(state), evaluated[epoch - 1], rtol=0, atol=0)

    evaluate(path, str(work_dir / "epoch_2.pth"), str(tmp_path / "t"), cfg_options=FEW)
    assert_close(evaluated[-1], evaluated[-2], rtol=0, atol=0)


def test_a_resumed_average_goes_on(config, tmp_path, averages):
    path, options = config("ema"), [*FEW, FAST_AVERAGE]
    train(path, str(tmp_path / "a"), cfg_options=options)
    resume = str(tmp_path / "a/epoch_1.pth")
    train(path, str(tmp_path / "b"), resume, cfg_options=options)
    undisturbed, resumed = (hook.ema_model.state_dict() for hook in averages)
    assert_close(resumed, undisturbed, rtol=1e-5, atol=1e-6)
    # The average of one epoch is far from it.
    assert (
        read_checkpoint(resume)["state_dict"]["backbone.stem1.0.weight"]
        .sub(resumed["module.backbone.stem1.0.weight"])
        .abs()
        .max()
        > 1e-5
    )


@pytest.mark.parametrize("amp", ["config", "flag"])
def test_bfloat16_trains_and_float32_evaluates(config, small_config, tmp_path, seen, amp):
    options = [*FEW, "optim_wrapper.accumulative_counts=2"]
    if amp == "config":
        train(config("amp_bf16"), str(tmp_path), cfg_options=options)
    else:
        train(str(small_config), str(tmp_path), amp="bfloat16", cfg_options=options)
    assert set(seen) == {
        ("train_step", False, torch.bfloat16),
        ("val_step", True, torch.float32),
    }
    state = read_checkpoint(tmp_path / "epoch_2.pth")["state_dict"]
    assert all(v.dtype == torch.float32 for v in state.values() if v.is_floating_point())


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU can do float16")
def test_float16_is_refused_on_the_cpu(config, tmp_path):
    with pytest.raises(UserError, match=r"amp_fp16\.py: optim_wrapper is an AmpOptimWrapper"):
        train(config("amp_fp16"), str(tmp_path))


@pytest.mark.gpu
def test_float16_trains_and_float32_evaluates(config, tmp_path, seen):
    train(config("amp_fp16"), str(tmp_path), cfg_options=FEW)
    assert set(seen) == {("train_step", False, torch.float16), ("val_step", True, torch.float32)}


def test_early_stopping_ends_the_training(config, tmp_path, seen):
    options = [*FEW, "train_cfg.max_epochs=4", *NO_RISE]
    train(config("early_stopping"), str(tmp_path), cfg_options=options)
    assert sorted(path.name for path in tmp_path.glob("*.pth")) == ["epoch_1.pth", "epoch_2.pth"]
    assert [step[1] for step in seen if step[0] == "val_step"] == [True, True]


def read_events(folder):
    """Read TensorBoard's files with its own reader: `{tag: [(step, value)]}`."""
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="tensorboard is not installed",
    )
    (events,) = folder.rglob("events.out.tfevents.*")
    reader = accumulator.EventAccumulator(str(events))
    reader.Reload()
    return {
        tag: [(event.step, event.value) for event in reader.Scalars(tag)]
        for tag in reader.Tags()["scalars"]
    }


def test_tensorboard_shows_what_is_logged(config, tmp_path, seen):
    train(config("tensorboard"), str(tmp_path), cfg_options=FEW)
    found = read_events(tmp_path)
    rows = scalars(tmp_path)
    for tag in ("loss", "lr", "coco/bbox_mAP"):
        expected = [(row["step"], row[tag]) for row in rows if tag in row]
        assert len(expected) == 4 if tag != "coco/bbox_mAP" else 2
        assert found[tag] == [(step, pytest.approx(value, rel=1e-6)) for step, value in expected]
    assert {step[1] for step in seen if step[0] == "val_step"} == {True}


def test_all_together(config, tmp_path, seen, evaluated, averages):
    path = config("ema", "amp_bf16", "early_stopping", "tensorboard")
    work_dir = tmp_path / "w"
    options = [*FEW, "train_cfg.max_epochs=4", FAST_AVERAGE, *NO_RISE]
    train(path, str(work_dir), cfg_options=options)
    assert set(seen) == {
        ("train_step", False, torch.bfloat16),
        ("val_step", True, torch.float32),
    }
    averaged = averages[0].ema_model.module.state_dict()
    assert_close(evaluated[-1], fused_weights(averaged), rtol=0, atol=0)
    last = work_dir / "epoch_2.pth"
    assert last.exists()
    assert not (work_dir / "epoch_3.pth").exists()
    assert len(read_events(work_dir)["coco/bbox_mAP"]) == 2

    seen.clear()
    evaluate(path, str(last), str(tmp_path / "t"), tta=True, cfg_options=options)
    assert set(seen) == {("test_step", True, torch.float32)}
    assert len(seen) % 3 == 0, "three sizes"
    assert_close(evaluated[-1], fused_weights(averaged), rtol=0, atol=0)
    log = "".join(path.read_text() for path in (tmp_path / "t").rglob("*.log"))
    assert re.search(r"tensors match, 0 missing", log)
