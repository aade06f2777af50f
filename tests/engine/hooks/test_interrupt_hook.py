"""An interrupted training resumes as if it had never stopped."""

import os
import signal
from pathlib import Path

import pytest
from mmengine.config import ConfigDict
from mmengine.hooks import Hook
from torch.testing import assert_close

from vanillanet_det.checkpoints import find_resume, read_checkpoint
from vanillanet_det.engine.hooks import interrupt_hook

pytestmark = pytest.mark.slow

ITERATIONS = 6  # of an epoch
SMALL = {
    "train_dataloader.batch_size": 2,
    "train_dataloader.dataset.indices": 12,
    "val_dataloader.dataset.indices": 3,
}
SEED = {"randomness.seed": 0}


class Record(Hook):
    """What the iterations were, and how often a validation was done."""

    priority = "VERY_HIGH"

    def __init__(self):
        self.iterations, self.validations = [], 0

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        images = [Path(sample.img_path).name for sample in data_batch["data_samples"]]
        lr = runner.optim_wrapper.get_lr()["lr"][0]
        loss = float(outputs["loss"].detach())
        self.iterations.append((runner.iter, batch_idx, images, lr, loss))

    def after_val_epoch(self, runner, metrics=None):
        self.validations += 1


class Send(Hook):
    """Send a signal to this process, at one moment of the training."""

    def __init__(self, moment, iteration, number=signal.SIGTERM, times=1):
        self.iteration, self.number, self.times = iteration, number, times
        setattr(self, moment, self.send)

    def send(self, runner, *args, **kwargs):
        if runner.iter == self.iteration:
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)


@pytest.fixture(autouse=True)
def _heard():
    """Handlers as Python sets them, whoever started this process."""
    ours = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in ours.items()}
    yield
    assert {number: signal.getsignal(number) for number in ours} == ours, "not restored"
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def train(make_runner, tmp_path):
    """Train, and return the record and the exit status."""

    def run(*hooks, resume=None, **changes):
        resumed = dict(resume=True, load_from=str(resume)) if resume else {}
        changes = {**SMALL, "work_dir": str(tmp_path / "w"), **resumed, **changes}
        runner = make_runner(**changes)
        record = Record()
        for hook in (record, *hooks):
            runner.register_hook(hook)
        if "train_cfg" in changes:
            runner._train_loop = changes["train_cfg"]  # and not merged with the config's
        try:
            runner.train()
        except SystemExit as error:
            return record, error.code
        return record, 0

    return run


def test_an_epoch_resumes_as_if_undisturbed(train, tmp_path, logged):
    undisturbed, _ = train(work_dir=str(tmp_path / "undisturbed"), **SEED)
    first, status = train(Send("before_train_iter", 2, signal.SIGINT), **SEED)
    assert status == 130
    path = tmp_path / "w" / "interrupted.pth"
    assert f"Interrupted (SIGINT) after iteration 3 of 12, saved as {path}. Resume: " in logged()
    meta = read_checkpoint(path)["meta"]
    assert (meta["epoch"], meta["iter"]) == (0, 3)

    # No seed: the order of the images is in the checkpoint.
    workers = {
        "train_dataloader.num_workers": 2,
        "train_dataloader.persistent_workers": True,
    }
    second, status = train(Send("before_train_iter", 4), resume=find_resume(path.parent), **workers)
    assert status == 143
    third, status = train(resume=find_resume(path.parent), **workers)
    assert status == 0
    assert [len(part.iterations) for part in (first, second, third)] == [3, 2, 7]
    ours = first.iterations + second.iterations + third.iterations
    for found, expected in zip(ours, undisturbed.iterations):
        assert found[:3] == expected[:3]
        assert_close(found[3:], expected[3:], rtol=1e-4, atol=0)
    images = [image for iteration in ours[:ITERATIONS] for image in iteration[2]]
    assert len(set(images)) == len(images) == 12
    assert not path.exists(), "outdated by the epoch's checkpoint"
    ends = [tmp_path / folder / "epoch_2.pth" for folder in ("w", "undisturbed")]
    weights = [read_checkpoint(end)["state_dict"] for end in ends]
    assert_close(*weights, rtol=1e-3, atol=1e-4)


def test_in_a_validation_the_epoch_is_saved_already(train, tmp_path, logged):
    record, status = train(Send("before_val_iter", ITERATIONS))
    assert (status, record.validations) == (143, 0)
    path = tmp_path / "w" / "epoch_1.pth"
    assert f"after iteration 6 of 12, saved as {path}; its validation is pending. " in logged()
    assert not path.with_name("interrupted.pth").exists()
    assert find_resume(path.parent) == path
    record, status = train(resume=path)
    assert record.validations == 2
    assert [iteration[0] for iteration in record.iterations] == list(range(6, 12))
    assert not path.with_name("validation_left").exists()


@pytest.mark.parametrize("moment", ["after_train_iter", "before_val_iter"])
def test_where_the_epoch_was_not_saved_it_is_now(moment, train, tmp_path):
    changes = {"default_hooks.checkpoint.interval": 5}
    at_end = moment == "after_train_iter"
    record, status = train(Send(moment, ITERATIONS - at_end), **changes)
    # The model of a validation is another one, so the validation goes to its end.
    assert (status, record.validations) == (143, 0 if at_end else 1)
    path = tmp_path / "w" / "interrupted.pth"
    meta = read_checkpoint(path)["meta"]
    assert (meta["epoch"], meta["iter"]) == (1, 6)
    record, status = train(resume=path, **changes)
    assert [iteration[:2] for iteration in record.iterations] == [(6 + i, i) for i in range(6)]
    assert record.validations == (2 if at_end else 1)


def test_the_last_validation_is_done_when_resumed(train, tmp_path, logged):
    assert train(Send("before_val_iter", 2 * ITERATIONS))[1] == 143
    path = tmp_path / "w" / "epoch_2.pth"
    assert f"saved as {path}; its validation is pending. " in logged()
    record, status = train(resume=path)
    assert (status, record.validations, record.iterations) == (0, 1, [])


def test_a_signal_after_the_last_step_still_sets_the_status(train, logged):
    assert train(Send("after_val_epoch", 2 * ITERATIONS, signal.SIGINT))[1] == 130
    assert "Interrupted after training was complete" in logged()


def test_gradients_that_wait_for_their_step_are_not_lost(train, tmp_path):
    changes = {"optim_wrapper.accumulative_counts": 2}
    record, status = train(Send("before_train_iter", 2), **changes)
    assert (status, len(record.iterations)) == (143, 4)


def test_a_second_signal_ends_at_once(train, tmp_path, monkeypatch):
    _, status = train(Send("before_train_iter", 2, times=3))
    assert status == 143
    path = tmp_path / "w" / "interrupted.pth"
    assert path.is_file(), "what comes within a second is one"
    path.unlink()
    monkeypatch.setattr(interrupt_hook, "_ONE_PRESS_S", -1)
    record, status = train(Send("before_train_iter", 2, times=2))
    assert (status, len(record.iterations)) == (143, 2)
    assert not path.exists()


def test_a_checkpoint_that_is_being_written_is_finished(train, tmp_path, monkeypatch):
    monkeypatch.setattr(interrupt_hook, "_ONE_PRESS_S", -1)
    sends = Send("before_train_iter", 2), Send("before_save_checkpoint", 2)
    assert train(*sends)[1] == 143
    assert read_checkpoint(tmp_path / "w" / "interrupted.pth")["meta"]["iter"] == 3


def test_any_checkpoint_within_an_epoch_resumes_in_it(train, tmp_path):
    changes = {
        "default_hooks.checkpoint": dict(by_epoch=False, interval=4),
        "train_cfg.max_epochs": 1,
    }
    train(**changes)
    record, _ = train(resume=tmp_path / "w" / "iter_4.pth", **changes)
    assert [iteration[:2] for iteration in record.iterations] == [(4, 4), (5, 5)]


def test_an_epoch_of_other_batches_starts_again(train, tmp_path, logged):
    train(Send("before_train_iter", 2))
    options = {"train_dataloader.batch_size": 3, "train_cfg.max_epochs": 1}
    record, _ = train(resume=tmp_path / "w" / "interrupted.pth", **options)
    assert len(record.iterations) == 4
    assert "The interrupted epoch had 6 batches and now has 4, so it starts again" in logged()


def test_a_loop_of_the_user_stops_without_loss(train, tmp_path, logged):
    own = {"train_cfg": ConfigDict(type="EpochBasedTrainLoop", max_epochs=1)}
    assert train(Send("before_train_iter", 2, signal.SIGINT), **own)[1] == 130
    path = tmp_path / "w" / "interrupted.pth"
    assert read_checkpoint(path)["meta"]["iter"] == 3
    assert "EpochBasedTrainLoop restarts an interrupted epoch or validation" in logged()
    record, _ = train(resume=path, **own)
    assert [iteration[:2] for iteration in record.iterations] == [(3 + i, i) for i in range(6)]


def by_iterations(val_interval, interval=10, **train_cfg):
    loop = dict(max_iters=5, val_interval=val_interval, **train_cfg)
    loop["type"] = "ResumableIterBasedTrainLoop"
    return {
        "train_cfg": ConfigDict(loop),
        "log_processor.by_epoch": False,
        "train_dataloader.sampler.type": "InfiniteSampler",
        "default_hooks.checkpoint": dict(by_epoch=False, interval=interval),
        "param_scheduler": [],
    }


def test_a_training_by_iterations(train, tmp_path):
    changes = by_iterations(val_interval=10)
    assert train(Send("before_train_iter", 1), **changes)[1] == 143
    record, _ = train(resume=tmp_path / "w" / "interrupted.pth", **changes)
    assert [iteration[0] for iteration in record.iterations] == [2, 3, 4]


@pytest.mark.parametrize("workers", [0, 1])
def test_iterations_continue_with_the_next_images(train, tmp_path, workers):
    changes = by_iterations(val_interval=10)
    undisturbed, _ = train(work_dir=str(tmp_path / "undisturbed"), **changes, **SEED)
    train(Send("before_train_iter", 1), **changes, **SEED)
    # No seed: the order of the images is in the checkpoint.
    loading = {"train_dataloader.num_workers": workers}
    record, _ = train(resume=tmp_path / "w" / "interrupted.pth", **changes, **loading)
    for found, expected in zip(record.iterations, undisturbed.iterations[2:]):
        assert found[:3] == expected[:3]
    assert len(record.iterations) == 3


def test_in_a_validation_between_checkpoints_no_iteration_is_lost(train, tmp_path):
    changes = by_iterations(val_interval=3)
    train(Send("before_train_iter", 1), **changes)
    path = tmp_path / "w" / "interrupted.pth"
    # Resumed, which is saved itself, but not what it has done since.
    record, status = train(Send("before_val_iter", 3), resume=path, **changes)
    assert (status, record.validations) == (143, 1)
    assert read_checkpoint(path)["meta"]["iter"] == 3
    record, _ = train(resume=path, **changes)
    assert [iteration[0] for iteration in record.iterations] == [3, 4]
    assert record.validations == 1


def test_in_a_validation_of_what_is_saved_the_rest_of_it_is_left(train, tmp_path):
    changes = by_iterations(val_interval=3, interval=3)
    record, status = train(Send("before_val_iter", 3), **changes)
    assert (status, record.validations) == (143, 0)
    record, _ = train(resume=tmp_path / "w" / "iter_3.pth", **changes)
    assert record.validations == 2


@pytest.mark.parametrize(
    ("loop", "made_up"),
    [
        (dict(val_interval=3), 1),
        (dict(val_interval=3, val_begin=4), 0),
        (dict(val_interval=3, dynamic_intervals=[(4, 9)]), 0),
        (dict(val_interval=2), 0),
    ],
)
def test_a_validation_that_was_due_after_the_iteration_is_made_up(train, tmp_path, loop, made_up):
    changes = by_iterations(**loop)
    record, status = train(Send("after_train_iter", 2), **changes)
    assert (status, len(record.iterations)) == (143, 3)
    assert (tmp_path / "w" / "validation_left").exists() == bool(made_up)
    others = 1 if loop["val_interval"] == 3 else 2
    record, _ = train(resume=tmp_path / "w" / "interrupted.pth", **changes)
    assert record.validations == made_up + others


def test_checkpoints_elsewhere_and_of_other_names_are_found(train, tmp_path):
    where = dict(out_dir=str(tmp_path / "elsewhere"), filename_tmpl="after_{}.pth")
    changes = {"default_hooks.checkpoint": where, "train_cfg.max_epochs": 1}
    train(**changes)
    found = find_resume(tmp_path / "w")
    assert found == tmp_path / "elsewhere" / "w" / "after_1.pth"
    changes["train_cfg.max_epochs"] = 2
    record, _ = train(resume=found, **changes)
    assert [iteration[0] for iteration in record.iterations] == list(range(6, 12))
