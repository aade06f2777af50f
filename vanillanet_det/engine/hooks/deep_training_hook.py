"""Deep training: lambda rises from 0 to 1 in the first part of a training."""

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

    At 0 each layer has a ReLU between its two convolutions, at 1 nothing, so that they fuse
    into one (https://arxiv.org/abs/2305.12972, section 3.1). The ImageNet networks took 100 of
    300 epochs for it. Evaluation in between is of the unfused network.

    Lambda is set on every module below the model that has `set_act_lambda`, and on averaged
    copies; it is logged as `act_lambda`, and a resumed training goes on where it was.

    Args:
        end: Epoch or iteration, counted from 0, from which on lambda is 1. It must come while
            the training still runs, or the network could never be fused.
        begin: Epoch or iteration until which lambda is 0.
        by_epoch: Count epochs, or else iterations.
        schedule: `linear` or `cosine`.

    Raises:
        UserError: Numbers that make no schedule, or that do not fit the training.

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
        """Compute lambda in an epoch or iteration, counted from 0."""
        share = (step - self.begin) / (self.end - self.begin)
        # The formulas reach 1 only up to rounding, and fusion asks for 1.
        return 1.0 if share >= 1 else _SCHEDULES[self.schedule](max(share, 0.0))

    def before_train(self, runner: Runner) -> None:
        """Refuse a training that would end before lambda is 1.

        Raises:
            UserError: It would or might, the model has nothing with a lambda, or it starts from
                weights at a higher one.
        """
        if self.by_epoch and isinstance(runner.train_loop, IterBasedTrainLoop):
            raise UserError(
                "DeepTrainingHook: by_epoch=True, but this training counts iterations; set "
                "by_epoch=False and end to an iteration"
            )
        if any(type(hook) is EarlyStoppingHook for hook in runner.hooks):
            raise UserError(
                "DeepTrainingHook: an EarlyStoppingHook could end the training before lambda is "
                "1, and the network would never fuse; use type='DeployableEarlyStoppingHook'"
            )
        length = runner.max_epochs if self.by_epoch else runner.max_iters
        unit = "epoch" if self.by_epoch else "iteration"
        if self.end >= length:
            raise UserError(
                f"DeepTrainingHook: lambda would be 1 from {unit} {self.end} on (end, counted "
                f"from 0), but the training has {length}, and the network fuses only at lambda "
                f"1; expected an end of at most {length - 1}"
            )
        modules = [m for m in lambda_modules(runner.model) if m.has_lambda]
        if not modules:
            raise UserError(
                "DeepTrainingHook: the model has no lambda; it needs a VanillaNet, or what "
                "add_vanilla_training makes of another network, in the training form"
            )
        begins_at = self.value(runner.epoch if self.by_epoch else runner.iter)
        for module in modules:
            if module.has_loaded and module.read_lambda() > begins_at + 1e-6:
                raise UserError(
                    f"DeepTrainingHook: the weights that the training starts from are at lambda "
                    f"{module.read_lambda():g}, and lambda {begins_at:g} would make another "
                    "network of them; leave the hook out to fine-tune them, resume with the "
                    "schedule they were trained with, or train from random weights"
                )
        set_lambda_schedule(
            runner.model, f"DeepTrainingHook takes it to 1 at the start of {unit} {self.end + 1}"
        )
        # Of a resumed training the validation that was left out comes next, and that is of the
        # weights as they were trained.
        if not runner._resume:
            self._set(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Save with the weights when lambda reaches 1."""
        schedules = [module.lambda_schedule for module in lambda_modules(runner.model)]
        checkpoint["meta"][SCHEDULE_KEY] = next(filter(None, schedules), "")

    def before_train_epoch(self, runner: Runner) -> None:
        """Set lambda, if epochs are counted."""
        if self.by_epoch:
            self._set(runner)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Optional[dict] = None
    ) -> None:
        """Set lambda, if iterations are counted, and log it."""
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
