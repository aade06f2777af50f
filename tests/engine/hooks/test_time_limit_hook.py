"""Runs with a clock of their own, on which an iteration takes a second and a validation two."""

from types import SimpleNamespace

import pytest
from mmengine.hooks import Hook

from vanillanet_det import UserError
from vanillanet_det.engine.hooks import TimeLimitHook

SCHEDULE = [dict(type="WarmUpFlatCosineLR", flat=0.5, last=0.1)]


class Work(Hook):
    """Lets time pass, and notes what is done."""

    priority = "VERY_HIGH"

    def __init__(self, clock):
        self.clock, self.done, self.rates = clock, "", []

    def before_train_iter(self, runner, **_):
        self.rates.append(runner.optim_wrapper.get_lr()["lr"][0] / 1.5e-3)

    def after_train_iter(self, runner, **_):
        self.clock.now += self.clock.iteration
        self.done += "i"

    def before_val_epoch(self, runner):
        self.done += "v"

    def after_val_iter(self, runner, batch_idx, **_):
        if not batch_idx:
            self.clock.now += 2


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=0.0, iteration=1.0)
    module = SimpleNamespace(monotonic=lambda: clock.now)
    monkeypatch.setattr("vanillanet_det.engine.hooks.time_limit_hook.time", module)
    return clock


@pytest.fixture
def train(make_runner, clock):
    """Train on 6 batches per epoch, and return the runner and what it did."""

    def train(seconds, *others, **changes):
        runner = make_runner(**{"train_cfg.max_epochs": 2, "param_scheduler": SCHEDULE, **changes})
        work = Work(clock)
        for hook in (work, TimeLimitHook(seconds, validation_seconds=2), *others):
            runner.register_hook(hook)
        runner.train()
        return runner, work

    return train


def test_it_trains_as_long_as_there_is_time_and_validates(train, clock, tmp_path):
    _, work = train(30)
    assert work.done == "iiiiiiviiiiiiviiiiiiviiiiv"
    assert clock.now == 30
    assert (tmp_path / "epoch_4.pth").is_file()
    # The warm-up aside, the rate is that of a training which was planned to have this length.
    assert work.rates[5] == pytest.approx(1)
    assert work.rates[-1] == pytest.approx(0.1, abs=0.03)
    assert sorted(work.rates, reverse=True) == pytest.approx(work.rates, abs=0.02)


def test_it_ends_within_the_first_epoch(train, clock, tmp_path):
    _, work = train(5)
    assert work.done == "iiiv"
    assert clock.now == 5
    assert (tmp_path / "epoch_1.pth").is_file()


def test_a_machine_that_becomes_slower_does_fewer_iterations(train, clock):
    class Busy(Hook):
        def before_val_epoch(self, runner):
            clock.iteration = 4.0

    _, work = train(30, Busy())
    assert work.done == "iiiiiiviiiiiv"
    assert clock.now == pytest.approx(30, abs=4)
    assert work.rates[-1] == pytest.approx(0.3, abs=0.1)


def test_a_resumed_run_uses_what_is_left(train, clock, tmp_path):
    class Stop(Hook):
        def before_val_epoch(self, runner):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(20, Stop())
    last = str(tmp_path / "epoch_1.pth")
    clock.now = 1000.0
    _, work = train(20, load_from=last, resume=True)
    assert work.done == "iiiiiiviiiiv"  # 6 seconds were used
    assert clock.now == 1014
    _, work = train(20, load_from=str(tmp_path / "epoch_3.pth"), resume=True)
    assert work.done == "v"


def test_no_epoch_begins_for_a_single_iteration(train, clock):
    """After three epochs with their validations, three seconds are left: one, and a validation."""
    _, work = train(27)
    assert work.done == "iiiiiiviiiiiiviiiiiiviv"
    _, work = train(25)
    assert work.done == "iiiiiiviiiiiiviiiiiiv"


@pytest.mark.parametrize("seconds", [0, -3, float("nan")])
def test_no_time(seconds):
    with pytest.raises(UserError, match="expected a number above 0"):
        TimeLimitHook(seconds)
