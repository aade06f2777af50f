"""Evaluation on the fused model."""

from typing import Optional

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, Runner
from torch import nn

from ...errors import UserError
from ...models.deploy import TOLERANCE, deploy_refusal, fuse, is_deployable
from ...models.raw_pixels import fold_normalization


@HOOKS.register_module()
class SwitchToDeployHook(Hook):
    """Evaluate the model in its deployed form; training never sees it.

    A fused copy stands in for `runner.model` while a validation or test epoch runs. The
    original comes back after it, with the loops of this project also when the epoch raises, and
    with other loops before the next epoch then. The hook runs after EMAHook has
    swapped the averaged weights in and before CheckpointHook saves. While the model can't be
    fused, as in the middle of the deep training, validation is of the unfused model, which is
    logged once, and a test is refused. The copy has the image's normalisation folded into its
    stem where it takes it.

    Args:
        tolerance: Pass one random image through both models first, and refuse to evaluate
            if a feature differs by more than this, relative to its largest value. None skips
            the check.
    """

    # After EMAHook (NORMAL, 50), before CheckpointHook (VERY_LOW, 90).
    priority = "BELOW_NORMAL"

    def __init__(self, tolerance: Optional[float] = TOLERANCE) -> None:
        if tolerance is not None and not tolerance > 0:
            raise UserError(
                f"SwitchToDeployHook: tolerance {tolerance!r}; expected a number above 0, "
                "or None for no check"
            )
        self.tolerance = tolerance
        self._original: Optional[nn.Module] = None
        self._reported = False

    def before_run(self, runner: Runner) -> None:
        """Refuse a second hook of this type.

        Raises:
            UserError: There is a second one of these hooks, which would fuse what is fused and
                give that back.
        """
        if sum(isinstance(hook, SwitchToDeployHook) for hook in runner.hooks) > 1:
            raise UserError(
                "SwitchToDeployHook: configured twice; remove one, from custom_hooks or from "
                "default_hooks, where the base configs of this project have it"
            )

    def _switch(self, runner: Runner, in_training: bool) -> None:
        self._restore(runner)  # a loop that isn't this project's may have raised before
        original = runner.model
        # Evaluation needs no gradient synchronisation, so the copy needs no wrapper.
        model = original.module if is_model_wrapper(original) else original
        if not is_deployable(model):
            runner.logger.info("Evaluating the model as it is: nothing in it can be fused")
            return
        if in_training and (reason := deploy_refusal(model)):
            if not self._reported:
                runner.logger.info(f"Evaluating the unfused model until it can be fused: {reason}")
            self._reported = True
            return
        fused, error = fuse(model, type(self).__name__, self.tolerance)
        checked = "" if error is None else f", features equal to {error:.1e}"
        fold_normalization(fused)  # which is never saved
        before, after = (sum(p.numel() for p in m.parameters()) for m in (model, fused))
        runner.logger.info(
            f"Evaluating the fused model: {before:,} -> {after:,} parameters{checked}"
        )
        self._original, runner.model = original, fused

    def _restore(self, runner: Runner) -> None:
        if self._original is not None:
            runner.model, self._original = self._original, None

    def before_val_epoch(self, runner: Runner) -> None:
        """Put the fused copy in."""
        self._switch(runner, in_training=isinstance(runner._train_loop, BaseLoop))

    def after_val_epoch(self, runner: Runner, metrics: Optional[dict] = None) -> None:
        """Put the original back."""
        self._restore(runner)

    def before_test_epoch(self, runner: Runner) -> None:
        """Put the fused copy in."""
        self._switch(runner, in_training=False)

    def after_test_epoch(self, runner: Runner, metrics: Optional[dict] = None) -> None:
        """Put the original back."""
        self._restore(runner)

    def end_val(self, runner: Runner) -> None:
        """Put the original back, also when the epoch raised."""
        self._restore(runner)

    # The last two are for loops that aren't this project's and call no `end_val`.
    end_test = before_train = before_train_epoch = end_val
