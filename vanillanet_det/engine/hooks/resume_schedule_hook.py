"""Resumed runs follow the schedule of their config."""

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from ..schedules import follow_config


@HOOKS.register_module()
class ResumeScheduleHook(Hook):
    """Resume with the learning rate schedule and optimizer settings of the config.

    MMEngine silently continues with those in the checkpoint, so that a longer schedule or another
    learning rate has no effect. With this hook, they are as if training had followed the config
    from its start, and the log says what has changed. The averages of the optimizer are kept.
    """

    # After CheckWeightsHook (HIGH), which rejects other models.
    priority = "NORMAL"

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Change the checkpoint's schedule if the config's differs.

        Raises:
            UserError: The config can't continue this checkpoint.
        """
        if not (runner._resume and isinstance(runner._train_loop, BaseLoop)):
            return
        differences = follow_config(runner, checkpoint)
        if differences:
            runner.logger.warning(
                "Resuming with the settings of the config, which differ from the checkpoint's: "
                f"{'; '.join(differences)}"
            )
