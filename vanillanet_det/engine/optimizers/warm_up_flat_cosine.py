"""A learning rate schedule that follows the length of the training run."""

import math
from typing import Any

from mmdet.registry import PARAM_SCHEDULERS
from mmengine.logging import MessageHub
from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import INF, _ParamScheduler

from ...errors import UserError


@PARAM_SCHEDULERS.register_module()
class WarmUpFlatCosineLR(LRSchedulerMixin, _ParamScheduler):
    """Linear warm-up, then a constant rate, then half a cosine to the end of training.

    It counts iterations. Unlike MMEngine's schedules, it has no length of its own: it ends with the
    training, also if the length changes, as in a run that is resumed for more epochs or has a
    `TimeLimitHook`.

    Args:
        optimizer: Optimizer or OptimWrapper.
        warm_up: Number of iterations of the warm-up.
        flat: Share of the training after which the rate decreases, from 0 to below 1.
        last: Learning rate at the end, as a share of the full one.
        **kwargs: Other arguments of MMEngine's schedulers.

    Raises:
        UserError: `flat` is out of range.

    Example:
        >>> param_scheduler = [dict(type='WarmUpFlatCosineLR', warm_up=100, flat=0.5)]
    """

    def __init__(
        self,
        optimizer: Any,
        warm_up: int = 0,
        flat: float = 0.0,
        last: float = 0.01,
        **kwargs: Any,
    ) -> None:
        if not 0 <= flat < 1:
            raise UserError(f"WarmUpFlatCosineLR: flat {flat!r}; expected 0 or more, below 1")
        self.warm_up, self.flat, self.last = warm_up, flat, last
        # The Runner passes an end, in epochs.
        super().__init__(optimizer, **{**kwargs, "by_epoch": False, "end": INF})

    def _get_value(self) -> list[float]:
        done = self.last_step
        total = MessageHub.get_current_instance().get_info("max_iters", None) or math.inf
        share = max(0.0, min(1.0, done / total) - self.flat) / (1 - self.flat)
        factor = self.last + (1 - self.last) * (1 + math.cos(math.pi * share)) / 2
        if done < self.warm_up:
            factor *= (done + 1) / (self.warm_up + 1)
        return [factor * value for value in self.base_values]
