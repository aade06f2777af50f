"""Early stopping that leaves a network which can be deployed."""

from typing import Optional

from mmdet.registry import HOOKS
from mmengine.hooks import EarlyStoppingHook
from mmengine.runner import BaseLoop, Runner

from ...errors import UserError
from ...models.deploy import deploy_refusal

_STATE = "early_stopping"


@HOOKS.register_module()
class DeployableEarlyStoppingHook(EarlyStoppingHook):
    """End a training once its metric no longer rises, and not before it can be fused.

    MMEngine's EarlyStoppingHook, but in the middle of the deep training, while lambda is below
    1, it counts nothing: what is evaluated then is another network, and ending there would leave
    one that can never be fused. A resumed training goes on counting, but for the last
    validation: checkpoints are written before it. Evaluation alone needs no training data.

    Args:
        monitor: The metric, such as `coco/bbox_mAP`.
        min_delta: What counts as a rise. MMEngine's default, 0.1, is 10 points of AP.
        patience: Validations without a rise after which the training ends.
        **kwargs: As for EarlyStoppingHook.

    Raises:
        UserError: With `strict`, a validation without that metric.

    Example:
        >>> default_hooks = dict(early_stopping=dict(
        ...     type='DeployableEarlyStoppingHook', monitor='coco/bbox_mAP', min_delta=0.001))
    """

    # After CheckpointHook (VERY_LOW, 90), before InterruptHook (LOWEST, 100): that one does a
    # validation that was left out, which is counted too, and saves what is counted.
    priority = 95

    def before_run(self, runner: Runner) -> None:
        """Check the training loop, where there is one; asking for it would build it."""
        if isinstance(runner._train_loop, BaseLoop):
            super().before_run(runner)

    def before_train(self, runner: Runner) -> None:
        """Go on from what a checkpoint holds."""
        state = runner.message_hub.runtime_info.get(_STATE)
        if state is not None:
            self.best_score, self.wait_count = state

    def after_val_epoch(self, runner: Runner, metrics: Optional[dict] = None) -> None:
        """Count, and end the training if it is time."""
        if not isinstance(runner._train_loop, BaseLoop):
            return
        if self.strict and self.monitor not in (metrics or {}):
            raise UserError(
                f"{type(self).__name__}: monitor {self.monitor!r} but the validation found "
                f"{', '.join(metrics or ()) or 'nothing'}"
            )
        if not deploy_refusal(runner.model):
            super().after_val_epoch(runner, metrics)
            runner.message_hub.update_info(_STATE, [self.best_score, self.wait_count])
