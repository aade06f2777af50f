"""Evaluation of the fused model."""

from functools import partial
from typing import Optional

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, Runner
from torch import nn

from ...datasets.sample_images import prepare_array
from ...errors import UserError
from ...models.deploy import TOLERANCE, deploy_refusal, fuse, is_deployable
from ...models.raw_pixels import fold_normalization


@HOOKS.register_module()
class SwitchToDeployHook(Hook):
    """Evaluate the model in its deployed form, without affecting training.

    A fused copy replaces `runner.model` during a validation or test epoch. The original is
    restored afterwards; if the epoch raises an error, this project's loops restore it at once, and
    with other loops it is restored before the next epoch. The hook runs after EMAHook has swapped
    in the averaged weights and before CheckpointHook saves. Until the model can be fused, for
    example until lambda reaches 1, validation uses the unfused model (this is logged once), and
    testing raises an error. The copy has the normalisation of the images folded into its stem if
    its stem supports this.

    Args:
        tolerance: Largest difference between the features of both models on a random image,
            relative to the largest value of a feature; above it, evaluation raises an error.
            None skips the check. A detector that can't process the image, even after its test
            pipeline, is evaluated unchecked, with a warning.
    """

    # After EMAHook (NORMAL, 50), before CheckpointHook (VERY_LOW, 90).
    priority = "BELOW_NORMAL"

    def __init__(self, tolerance: Optional[float] = TOLERANCE) -> None:
        if tolerance is not None and not tolerance > 0:
            raise UserError(
                f"SwitchToDeployHook: tolerance {tolerance!r}; expected a number above 0, "
                "or None to skip the check"
            )
        self.tolerance = tolerance
        self._original: Optional[nn.Module] = None
        self._reported = self._has_fused = False

    def before_run(self, runner: Runner) -> None:
        """Reject a second hook of this type.

        Raises:
            UserError: There are two of these hooks; the second would fuse the fused copy, and
                restore that copy as the original.
        """
        if sum(isinstance(hook, SwitchToDeployHook) for hook in runner.hooks) > 1:
            raise UserError(
                "SwitchToDeployHook: configured twice; remove it from custom_hooks, or from "
                "default_hooks, where this project's base configs add it"
            )

    def _switch(self, runner: Runner, in_training: bool) -> None:
        self._restore(runner)  # a custom loop may have raised an error before
        original = runner.model
        # Evaluation needs no gradient synchronisation, so the copy needs no wrapper.
        model = original.module if is_model_wrapper(original) else original
        if not is_deployable(model):
            runner.logger.info("Evaluating the model unchanged: it has no deployed form")
            return
        if in_training and (reason := deploy_refusal(model)):
            if not self._reported:
                runner.logger.info(f"Evaluating the unfused model until it can be fused: {reason}")
            self._reported = True
            return
        prepare = partial(prepare_array, runner.cfg)
        fused, error, unchecked = fuse(model, type(self).__name__, self.tolerance, prepare=prepare)
        checked = "" if error is None else f", features equal to {error:.1e}"
        if unchecked:
            runner.logger.warning(f"{type(self).__name__}: {unchecked}")
        fold_normalization(fused)  # the fused copy is never saved
        before, after = (sum(p.numel() for p in m.parameters()) for m in (model, fused))
        text = f"Evaluating the fused model: {before:,} -> {after:,} parameters{checked}"
        if self._has_fused:
            print_log(text, "current")  # which QuietRunner doesn't print
        else:
            runner.logger.info(text)
        self._has_fused = True
        self._original, runner.model = original, fused

    def _restore(self, runner: Runner) -> None:
        if self._original is not None:
            runner.model, self._original = self._original, None

    def before_val_epoch(self, runner: Runner) -> None:
        """Switch to the fused copy."""
        self._switch(runner, in_training=isinstance(runner._train_loop, BaseLoop))

    def after_val_epoch(self, runner: Runner, metrics: Optional[dict] = None) -> None:
        """Restore the original."""
        self._restore(runner)

    def before_test_epoch(self, runner: Runner) -> None:
        """Switch to the fused copy."""
        self._switch(runner, in_training=False)

    def after_test_epoch(self, runner: Runner, metrics: Optional[dict] = None) -> None:
        """Restore the original."""
        self._restore(runner)

    def end_val(self, runner: Runner) -> None:
        """Restore the original, even if the epoch raised an error."""
        self._restore(runner)

    # The last two are for custom loops, which don't call `end_val`.
    end_test = before_train = before_train_epoch = end_val
