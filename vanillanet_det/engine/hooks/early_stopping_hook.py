"""Early stopping that never leaves a network that can't be fused."""

from typing import Optional

from mmdet.registry import HOOKS
from mmengine.hooks import EarlyStoppingHook
from mmengine.runner import BaseLoop, Runner

from ...errors import UserError
from ...models.deploy import deploy_refusal

_STATE = "early_stopping"


@HOOKS.register_module()
class DeployableEarlyStoppingHook(EarlyStoppingHook):
    """Stop training once the metric no longer rises, but not before the network can be fused.

    Unlike MMEngine's EarlyStoppingHook, this hook ignores validations during deep training, while
    lambda is below 1: they evaluate a different network, and stopping then would leave a network
    that can never be fused. The count is saved in checkpoints, so a resumed run continues it; the
    last validation is lost, because checkpoints are written before validation. Evaluation alone
    doesn't require training data.

    Args:
        monitor: The metric, such as `coco/bbox_mAP`.
        min_delta: Smallest increase that counts as a rise. MMEngine's default, 0.1, is 10 points
            of AP.
        patience: Number of validations without a rise after which training stops.
        **kwargs: As for EarlyStoppingHook.

    Raises:
        UserError: With `strict`, a validation doesn't return the metric.

    Example:
        >>> default_hooks = dict(early_stopping=dict(
        ...     type='DeployableEarlyStoppingHook', monitor='coco/bbox_mAP', min_delta=0.001))
    """

    # After CheckpointHook (VERY_LOW, 90), before InterruptHook (LOWEST, 100), which saves the
    # count.
    priority = 95

    def before_run(self, runner: Runner) -> None:
        """Check the training loop if it has been built; accessing the property would build it."""
        if isinstance(runner._train_loop, BaseLoop):
            super().before_run(runner)

    def before_train(self, runner: Runner) -> None:
        """Restore the count from a checkpoint."""
        state = runner.message_hub.runtime_info.get(_STATE)
        if state is not None:
            self.best_score, self.wait_count = state

    def after_val_epoch(self, runner: Runner, metrics: Optional[dict] = None) -> None:
        """Update the count, and stop training if the metric no longer rises."""
        if not isinstance(runner._train_loop, BaseLoop):
            return
        if self.strict and self.monitor not in (metrics or {}):
            raise UserError(
                f"{type(self).__name__}: monitor {self.monitor!r}: expected one of the validation "
                f"metrics: {', '.join(metrics or ()) or 'none found'}"
            )
        if not deploy_refusal(runner.model):
            super().after_val_epoch(runner, metrics)
            runner.message_hub.update_info(_STATE, [self.best_score, self.wait_count])
