"""Checks of config and data before a run, whoever starts it."""

from collections.abc import Sequence

from mmdet.registry import HOOKS
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import BaseLoop, Runner

from ...checks import Finding, check_config, report, stop_at_errors, warnings_in
from ..ranks import gather_or_raise, is_first


@HOOKS.register_module()
class CheckDataHook(Hook):
    """Refuse a run whose data, weights or model don't match, and list everything that is wrong.

    It is for MMDetection's own tools: those of this project make the checks before they build a
    runner, and leave the hook out. Images are not decoded; `tools/check_data.py` does that. By
    then MMEngine has read the annotation files, and reported those that it can't read.
    """

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self._is_done = False

    def before_run(self, runner: Runner) -> None:
        """Check the config of the run, once.

        Raises:
            UserError: There are errors; its message lists all of them.
        """
        if self._is_done:
            return
        self._is_done = True
        loops = dict(
            train_dataloader=runner._train_loop,
            val_dataloader=runner._val_loop,
            test_dataloader=runner._test_loop,
        )
        # A loop that this run won't use is only described, and not built yet.
        used = [key for key, loop in loops.items() if isinstance(loop, BaseLoop)]
        warnings, *_ = gather_or_raise(lambda: check_run(runner.cfg, used), is_first())
        log_warnings(warnings)


def check_run(cfg: Config, dataloaders: Sequence[str]) -> list[Finding]:
    """Check the config and the data of a run, without decoding images.

    Args:
        cfg: The config.
        dataloaders: Keys of the dataloaders that the run uses.

    Returns:
        The warnings.

    Raises:
        UserError: There are errors; its message lists all of them.
    """
    findings = check_config(cfg, images=False, dataloaders=dataloaders)
    stop_at_errors(findings)
    return warnings_in(findings)


def log_warnings(warnings: Sequence[Finding]) -> None:
    """Log the warnings of a run; its logger must exist."""
    if warnings:
        # The loggers of other ranks log errors alone.
        summary = f"{len(warnings)} warnings of the config and its data:\n{report(warnings)}"
        print_log(summary, "current", level=30)
