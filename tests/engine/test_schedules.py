"""A resumed run follows the schedule and the optimizer of its config."""

import itertools
import re
from typing import ClassVar

import pytest
import torch
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

from vanillanet_det import UserError
from vanillanet_det.checkpoints import read_checkpoint
from vanillanet_det.engine.config import load_config

pytestmark = pytest.mark.usefixtures("mmdet_scope")
_NUMBERS = itertools.count()
EPOCHS, RESUMED = 6, 3  # long enough to tell one curve from another

WARM_UP = dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=4)
COSINE = dict(type="CosineAnnealingLR", T_max=RESUMED, by_epoch=True, convert_to_iter_based=True)
LONGER = dict(COSINE, T_max=EPOCHS)
STEPS = dict(type="MultiStepLR", milestones=[1, 2], gamma=0.1, by_epoch=True)
PLATEAU = dict(type="ReduceOnPlateauLR", monitor="loss")


@MODELS.register_module(force=True)
class OneLayer(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))

    def forward(self, inputs, mode="tensor"):
        return dict(loss=self.layer(torch.stack(inputs)).square().mean())


@DATASETS.register_module(force=True)
class Points(Dataset):
    metainfo: ClassVar = dict(classes=("one",))

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return dict(inputs=torch.full((2,), float(index)))


class NoteRates(Hook):
    """Note what is scheduled in each iteration."""

    def __init__(self):
        self.seen = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        wrapper = runner.optim_wrapper
        groups = [{k: v for k, v in g.items() if k != "params"} for g in wrapper.param_groups]
        self.seen.append(groups)


@pytest.fixture
def run(tmp_path):
    """Train, and return what was scheduled in each iteration."""

    def run(epochs, *schedulers, resume=None, batch_size=2, train_cfg=None, **wrapper):
        folder = tmp_path / f"run {next(_NUMBERS)}"
        wrapper = dict(dict(optimizer=dict(type="SGD", lr=0.1, momentum=0.9)), **wrapper)
        cfg = dict(
            default_scope="mmdet",
            model=dict(type="OneLayer"),
            train_cfg=train_cfg or dict(max_epochs=epochs),
            train_dataloader=dict(
                batch_size=batch_size,
                dataset=dict(type="Points"),
                # MMEngine sleeps at the end of another sampler.
                sampler=dict(type=f"{'Infinite' if train_cfg else 'Default'}Sampler"),
            ),
            optim_wrapper=wrapper,
            param_scheduler=list(schedulers) or None,
            load_from=None if resume is None else str(resume),
            resume=resume is not None,
            experiment_name=folder.name,
        )
        (tmp_path / "config.py").write_text(Config(cfg).pretty_text)
        runner = Runner.from_cfg(load_config(str(tmp_path / "config.py"), str(folder)))
        notes = NoteRates()
        runner.register_hook(notes)
        runner.train()
        text = "".join(path.read_text() for path in folder.rglob("*.log"))
        said = re.findall(r"Resuming with the settings of the config.*", text)
        return notes.seen, folder, said

    return run


BEFORE = dict(schedulers=[WARM_UP, COSINE])
CHANGES = {
    "longer": dict(schedulers=[WARM_UP, LONGER]),
    "a higher rate": dict(optimizer=dict(type="SGD", lr=0.5, momentum=0.9)),
    "another momentum and decay": dict(
        optimizer=dict(type="SGD", lr=0.1, momentum=0.5, weight_decay=0.1)
    ),
    "another kind": dict(schedulers=[WARM_UP, STEPS]),
    "a longer warm-up": dict(schedulers=[dict(WARM_UP, end=20), LONGER]),
    "another start of the warm-up": dict(schedulers=[dict(WARM_UP, start_factor=0.5), COSINE]),
    "without warm-up": dict(schedulers=[LONGER]),
    "one more": dict(schedulers=[WARM_UP, LONGER, dict(STEPS, milestones=[4])]),
    "none": dict(schedulers=[]),
    "by iteration": dict(schedulers=[dict(type="PolyLR", power=1, end=24, by_epoch=False)]),
    "of momentum, too": dict(
        schedulers=[LONGER, dict(type="StepMomentum", step_size=2, gamma=0.5, by_epoch=True)]
    ),
    "smaller batches": dict(batch_size=1),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_schedule_of_the_config_counts_from_the_start(run, change):
    changed = {**BEFORE, **CHANGES[change]}
    expected, _, _ = run(EPOCHS, *changed.pop("schedulers"), **changed)
    _, folder, _ = run(RESUMED, *BEFORE["schedulers"])
    changed = {**BEFORE, **CHANGES[change]}
    found, _, (said,) = run(
        EPOCHS, *changed.pop("schedulers"), resume=folder / f"epoch_{RESUMED}.pth", **changed
    )
    assert len(found) == len(expected) // 2
    assert found == expected[-len(found) :]
    assert "learning rate from here on: " in said


def test_an_epoch_of_another_length_starts_again(run):
    by_iteration = dict(type="PolyLR", power=1, end=24, by_epoch=False)
    expected, _, _ = run(EPOCHS, by_iteration)
    _, folder, _ = run(RESUMED, COSINE)
    path = folder / f"epoch_{RESUMED}.pth"
    checkpoint = read_checkpoint(path)
    checkpoint["meta"]["unfinished_epoch"] = dict(batches=1, length=50, sampler_seed=None)
    checkpoint["meta"]["iter"] += 1
    torch.save(checkpoint, path)
    found, _, _ = run(EPOCHS, by_iteration, resume=path)
    assert found == expected[-len(found) :]


def test_the_next_run_has_nothing_to_change(run):
    _, first, _ = run(RESUMED, WARM_UP, COSINE)
    expected, second, _ = run(EPOCHS, WARM_UP, LONGER, resume=first / f"epoch_{RESUMED}.pth")
    found, _, said = run(EPOCHS, WARM_UP, LONGER, resume=second / f"epoch_{EPOCHS - 1}.pth")
    assert found == expected[-len(found) :]
    assert not said


def test_what_differs_is_said_with_old_and_new_values(run):
    _, folder, _ = run(RESUMED, WARM_UP, COSINE)
    resume = folder / f"epoch_{RESUMED}.pth"
    optimizer = dict(type="SGD", lr=0.2, momentum=0.9)
    _, _, (said,) = run(EPOCHS, WARM_UP, LONGER, resume=resume, optimizer=optimizer)
    assert (
        "CosineAnnealingLR (counts iterations): T_max 12 -> 24, end 12 -> 24; lr 0.1 -> 0.2; "
        in said
    )
    assert said.endswith("learning rate from here on: 0.0017 -> 0.1")


def test_an_unchanged_schedule_stays_as_it_is(run):
    schedulers = [WARM_UP, LONGER, dict(STEPS, milestones=[4])]
    expected, folder, _ = run(EPOCHS, *schedulers)
    found, _, said = run(EPOCHS, *schedulers, resume=folder / f"epoch_{RESUMED}.pth")
    assert found == expected[-len(found) :]
    assert not said


def test_training_that_counts_iterations(run):
    def loop(length):
        return dict(by_epoch=False, max_iters=length, val_interval=100)

    poly = dict(type="PolyLR", power=1, end=12, by_epoch=False)
    longer = dict(poly, end=24)
    expected, _, _ = run(0, longer, train_cfg=loop(24))
    _, folder, _ = run(0, poly, train_cfg=loop(12))
    (path,) = folder.glob("*.pth")
    found, _, said = run(0, longer, train_cfg=loop(24), resume=path)
    assert len(found) == 12
    assert found == expected[12:]
    assert said


@pytest.mark.parametrize("loop", [dict(max_epochs=2), dict(by_epoch=False, max_iters=11)])
def test_less_than_was_trained_is_an_error(run, loop):
    _, folder, _ = run(RESUMED)
    with pytest.raises(UserError, match=r"after (epoch 3|iteration 12), but train_cfg\.max_"):
        run(0, resume=folder / f"epoch_{RESUMED}.pth", train_cfg=loop)


def test_another_optimizer_is_an_error(run):
    _, folder, _ = run(1)
    with pytest.raises(UserError, match=r"optimizer is AdamW, but .* trained with SGD"):
        run(2, resume=folder / "epoch_1.pth", optimizer=dict(type="AdamW", lr=0.1))


def test_other_groups_of_parameters_are_an_error(run):
    _, folder, _ = run(1)
    optimizer = dict(type="SGD", lr=0.1, momentum=0.9, weight_decay=0.1)
    paramwise = dict(norm_decay_mult=0)
    with pytest.raises(UserError, match=r"has 4 groups of 4 parameters, but .* 1 groups of 4"):
        run(2, resume=folder / "epoch_1.pth", optimizer=optimizer, paramwise_cfg=paramwise)


def test_a_rate_that_depends_on_metrics_can_not_be_computed_again(run):
    _, folder, _ = run(1, WARM_UP)
    with pytest.raises(UserError, match="ReduceOnPlateau depends on all metrics"):
        run(2, WARM_UP, PLATEAU, resume=folder / "epoch_1.pth")
