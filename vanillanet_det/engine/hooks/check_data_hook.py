"""Data and config are checked before a run, whoever starts it."""

from collections.abc import Sequence

from mmdet.registry import HOOKS
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from ...checks import Finding, check_config, report, stop_at_errors, warnings_in


@HOOKS.register_module()
class CheckDataHook(Hook):
    """Stop a run whose data, weights or parts don't fit together, and say all that is wrong.

    Images are not decoded; `tools/check_data.py` does that. MMEngine has read the annotation
    files by then, and says itself which it can't.

    Attributes:
        is_done: The checks were made already, as the tools of this project make them before
            they build a runner.
    """

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self.is_done = False

    def before_run(self, runner: Runner) -> None:
        """Check the config of the run.

        Raises:
            UserError: There are errors; its message lists all of them.
        """
        if self.is_done:
            return
        self.is_done = True
        loops = dict(
            train_dataloader=runner._train_loop,
            val_dataloader=runner._val_loop,
            test_dataloader=runner._test_loop,
        )
        # What this run won't use is only described, and no loop yet.
        used = [key for key, loop in loops.items() if isinstance(loop, BaseLoop)]
        found: list = [None]
        if is_main_process():
            found = [check_config(runner.cfg, images=False, dataloaders=used)]
        broadcast_object_list(found)
        stop_at_errors(found[0])
        _log_warnings(runner, found[0])


def take_findings(runner: Runner, findings: Sequence[Finding]) -> None:
    """Log the warnings of checks that were made before the runner; its hook repeats none.

    Args:
        runner: The runner, not yet run.
        findings: What `check_config` found.
    """
    for hook in runner.hooks:
        if isinstance(hook, CheckDataHook):
            hook.is_done = True
    _log_warnings(runner, findings)


def _log_warnings(runner: Runner, findings: Sequence[Finding]) -> None:
    warnings = warnings_in(findings)
    if warnings:
        # The loggers of other ranks say errors alone.
        runner.logger.warning(
            f"{len(warnings)} warnings of the config and its data:\n{report(warnings)}"
        )
