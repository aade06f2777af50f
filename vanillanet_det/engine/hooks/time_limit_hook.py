"""A training run that ends in time."""

import math
import time
from typing import Optional

import torch
from mmdet.registry import HOOKS
from mmengine.dist import all_reduce, is_distributed
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from ...errors import UserError
from ..loops import is_validated

_STATE = "time_limit"  # seconds that were used, and those of a validation
_LEAST_SHARE = 0.02  # of the time, before the number of iterations is estimated from it


@HOOKS.register_module()
class TimeLimitHook(Hook):
    """Train for a given time, whatever the speed of the machine.

    The number of iterations that fit is estimated after every iteration, and set as `max_iters` and
    `max_epochs` of the loop, so that schedules such as `WarmUpFlatCosineLR`, and the progress bar,
    follow it. Training ends within an epoch if necessary, early enough for the last validation. The
    time is saved in checkpoints, and a resumed run uses what is left.

    Args:
        seconds: Time for the iterations and all validations.
        validation_seconds: Expected time of a validation, until one has been measured.
        iterations: Expected number of iterations, until it can be estimated; None for that of the
            config.

    Raises:
        UserError: `seconds` isn't positive.

    Example:
        >>> custom_hooks = [dict(type='TimeLimitHook', seconds=600)]
    """

    # Before ParamSchedulerHook (LOW, 70), whose schedules follow the estimate.
    priority = "NORMAL"

    def __init__(
        self,
        seconds: float,
        validation_seconds: float = 0.0,
        iterations: Optional[int] = None,
    ) -> None:
        if not seconds > 0:
            raise UserError(f"TimeLimitHook: seconds {seconds!r}; expected a number above 0")
        self.seconds = seconds
        self._validation, self._expected = validation_seconds, iterations
        self._before = 0.0  # what a resumed run had used
        self._began = self._validation_began = time.monotonic()

    def before_train(self, runner: Runner) -> None:
        """Start the clock."""
        state = runner.message_hub.runtime_info.get(_STATE) if runner._resume else None
        self._before, self._validation = state or (0.0, self._validation)
        self._began = time.monotonic()
        if state and self._before >= self.seconds - self._validation:
            self._stop(runner, runner.iter, runner.epoch)
        elif self._expected is not None:
            self._set_length(runner, max(self._expected, runner.iter + 1))

    def after_train_iter(self, runner: Runner, **_: object) -> None:
        """Estimate the number of iterations, and stop after the last one."""
        used, validation = self._measured()
        left_for_last = self.seconds - validation
        runner.message_hub.update_info(_STATE, [used, validation])
        done = runner.iter + 1
        if used >= left_for_last or self._is_last(runner, used, validation):
            self._stop(runner, done, runner.epoch + 1)
        elif used > _LEAST_SHARE * self.seconds:
            self._set_length(runner, max(done + 1, round(done * left_for_last / used)))

    def _is_last(self, runner: Runner, used: float, validation: float) -> bool:
        """Return whether this validated epoch leaves no time for iterations and a validation."""
        loop = runner.train_loop
        if not isinstance(loop, EpochBasedTrainLoop):
            return False
        is_end = self.end_of_epoch(loop.dataloader, loop._batches - 1)
        left = self.seconds - used - 2 * validation
        return is_end and is_validated(runner, runner.epoch + 1) and left <= 0

    def before_val_epoch(self, runner: Runner) -> None:
        """Note when the validation began."""
        self._validation_began = time.monotonic()

    def after_val_epoch(self, runner: Runner, metrics: object = None) -> None:
        """Measure the validation."""
        self._validation = time.monotonic() - self._validation_began

    def _measured(self) -> tuple[float, float]:
        """Return the seconds used so far and those of a validation, the most of any rank."""
        values = self._before + time.monotonic() - self._began, self._validation
        if not is_distributed():
            return values
        most = torch.tensor(values, dtype=torch.float64)
        all_reduce(most, op="max")  # so that all ranks stop after the same iteration
        return most[0].item(), most[1].item()

    def _stop(self, runner: Runner, iterations: int, epochs: int) -> None:
        runner.train_loop.stop_training = True
        self._set_length(runner, iterations, epochs)

    @staticmethod
    def _set_length(runner: Runner, iterations: int, epochs: Optional[int] = None) -> None:
        loop = runner.train_loop
        if epochs is None:
            by_epoch = isinstance(loop, EpochBasedTrainLoop)
            epochs = math.ceil(iterations / len(loop.dataloader)) if by_epoch else 1
            epochs = max(epochs, runner.epoch + 1)
        loop._max_iters, loop._max_epochs = iterations, epochs
        runner.message_hub.update_info("max_iters", iterations)
        runner.message_hub.update_info("max_epochs", epochs)
