"""Checks of the config and the data before a run, with any tool."""

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
    """Stop a run whose data, weights or model don't match, and list all errors.

    The hook is meant for MMDetection's own tools; the tools of this project run the checks before
    they build a runner, and remove the hook. Images are not decoded; use
    `vanillanet-det check-data` for that. MMEngine reads the annotation files before the hook runs,
    and reports unreadable files itself.
    """

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self._is_done = False

    def before_run(self, runner: Runner) -> None:
        """Check the config of the run once.

        Raises:
            UserError: There are errors; the message lists all of them.
        """
        if self._is_done:
            return
        self._is_done = True
        loops = dict(
            train_dataloader=runner._train_loop,
            val_dataloader=runner._val_loop,
            test_dataloader=runner._test_loop,
        )
        # A loop that this run doesn't use is still a config.
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
        UserError: There are errors; the message lists all of them.
    """
    findings = check_config(cfg, images=False, dataloaders=dataloaders)
    stop_at_errors(findings)
    return warnings_in(findings)


def log_warnings(warnings: Sequence[Finding]) -> None:
    """Log the warnings of a run; its logger must exist."""
    if warnings:
        # The loggers of other ranks log only errors.
        summary = f"{len(warnings)} warnings about the config and its data:\n{report(warnings)}"
        print_log(summary, "current", level=30)
