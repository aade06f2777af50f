"""Deep training: lambda rises from 0 to 1 in the first part of training."""

import math
from typing import Optional

from mmdet.registry import HOOKS
from mmengine.hooks import EarlyStoppingHook, Hook
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import nn

from ...errors import UserError
from ...models.layers.act_lambda import (
    SCHEDULE_KEY,
    lambda_modules,
    set_act_lambda,
    set_lambda_schedule,
)

_SCHEDULES = {
    "linear": lambda share: share,
    "cosine": lambda share: 0.5 * (1 - math.cos(math.pi * share)),
}


@HOOKS.register_module()
class DeepTrainingHook(Hook):
    """Raise lambda, the slope of A' below zero, from 0 to 1 while training.

    At lambda 0, each layer has a ReLU between its two convolutions; at lambda 1, it has no
    non-linearity there, so the convolutions can be fused into one
    (https://arxiv.org/abs/2305.12972, section 3.1). The published ImageNet networks were trained
    with rising lambda for 100 of 300 epochs. Until lambda reaches 1, validation uses the unfused
    network.

    Lambda is set on every submodule of the model that has `set_act_lambda`, and on averaged
    copies. It is logged as `act_lambda`. A resumed run continues the schedule.

    Args:
        end: Epoch or iteration, counted from 0, from which on lambda is 1. It must be before the
            end of training, because the network could otherwise never be fused.
        begin: Epoch or iteration until which lambda is 0.
        by_epoch: Count epochs instead of iterations.
        schedule: `linear` or `cosine`.

    Raises:
        UserError: The numbers don't define a schedule, or don't fit the length of training.

    Example:
        >>> custom_hooks = [dict(type='DeepTrainingHook', end=6)]
    """

    def __init__(
        self, end: int, begin: int = 0, by_epoch: bool = True, schedule: str = "linear"
    ) -> None:
        if schedule not in _SCHEDULES:
            raise UserError(
                f"DeepTrainingHook: schedule {schedule!r}; expected "
                f"{' or '.join(map(repr, _SCHEDULES))}"
            )
        if not 0 <= begin < end:
            raise UserError(
                f"DeepTrainingHook: begin {begin!r} and end {end!r}; expected 0 <= begin < end"
            )
        self.end = end
        self.begin = begin
        self.by_epoch = by_epoch
        self.schedule = schedule

    def value(self, step: int) -> float:
        """Return lambda at an epoch or iteration, counted from 0."""
        share = (step - self.begin) / (self.end - self.begin)
        # The formulas reach 1 only up to rounding, but fusion requires exactly 1.
        return 1.0 if share >= 1 else _SCHEDULES[self.schedule](max(share, 0.0))

    def before_train(self, runner: Runner) -> None:
        """Raise an error if training would end before lambda is 1.

        Raises:
            UserError: Training would or might end too early, the model has no lambda, or the
                initial weights have a higher lambda than the schedule.
        """
        if self.by_epoch and isinstance(runner.train_loop, IterBasedTrainLoop):
            raise UserError(
                "DeepTrainingHook: by_epoch=True, but the training loop counts iterations; set "
                "by_epoch=False, and set end to an iteration"
            )
        if any(type(hook) is EarlyStoppingHook for hook in runner.hooks):
            raise UserError(
                "DeepTrainingHook: an EarlyStoppingHook could end training before lambda is "
                "1, and the network could never be fused; use type='DeployableEarlyStoppingHook'"
            )
        length = runner.max_epochs if self.by_epoch else runner.max_iters
        unit = "epoch" if self.by_epoch else "iteration"
        if self.end >= length:
            raise UserError(
                f"DeepTrainingHook: lambda would be 1 from {unit} {self.end} on (end, counted "
                f"from 0), but training ends after {length}, and fusion requires lambda 1; "
                f"expected end to be at most {length - 1}"
            )
        modules = [m for m in lambda_modules(runner.model) if m.has_lambda]
        if not modules:
            raise UserError(
                "DeepTrainingHook: the model has no lambda; expected a VanillaNet in its training "
                "form, or a network converted with add_vanilla_training"
            )
        begins_at = self.value(runner.epoch if self.by_epoch else runner.iter)
        for module in modules:
            if module.has_loaded and module.read_lambda() > begins_at + 1e-6:
                raise UserError(
                    f"DeepTrainingHook: the initial weights have lambda "
                    f"{module.read_lambda():g}, but the schedule starts at lambda {begins_at:g}, "
                    "where they compute a different function; remove the hook to fine-tune them, "
                    "resume with their original schedule, or train from random weights"
                )
        set_lambda_schedule(
            runner.model, f"DeepTrainingHook sets it to 1 at the start of {unit} {self.end + 1}"
        )
        # A resumed run may start with a pending validation, which must use the lambda that the
        # weights were trained with.
        if not runner._resume:
            self._set(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Store in the checkpoint when lambda will reach 1."""
        schedules = [module.lambda_schedule for module in lambda_modules(runner.model)]
        checkpoint["meta"][SCHEDULE_KEY] = next(filter(None, schedules), "")

    def before_train_epoch(self, runner: Runner) -> None:
        """Set lambda if epochs are counted."""
        if self.by_epoch:
            self._set(runner)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Optional[dict] = None
    ) -> None:
        """Set lambda if iterations are counted, and log it."""
        if not self.by_epoch:
            self._set(runner)
        step = runner.epoch if self.by_epoch else runner.iter
        runner.message_hub.update_scalar("train/act_lambda", self.value(step))

    def _set(self, runner: Runner) -> None:
        value = self.value(runner.epoch if self.by_epoch else runner.iter)
        averaged = (getattr(hook, "ema_model", None) for hook in runner.hooks)
        for model in (runner.model, *averaged):
            if isinstance(model, nn.Module):
                set_act_lambda(model, value)
