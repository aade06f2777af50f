"""Training curves, updated during training."""

import time
from pathlib import Path
from typing import Optional

from mmdet.registry import HOOKS
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

FILE_NAME = "curves.png"
_PAUSE = 20  # times what plotting took


@HOOKS.register_module()
class CurvesHook(Hook):
    """Plot losses, AP, learning rate and lambda to `WORK_DIR/curves.png`.

    The figure is updated after epochs and validations, and once more at the end, from the logs of
    MMEngine's LocalVisBackend for this run and the runs that it resumes. Plotting takes a twentieth
    of the time at most. If it fails, the error is logged once, and training continues.
    """

    # After LoggerHook (BELOW_NORMAL), which writes the data.
    priority = "LOW"

    def __init__(self) -> None:
        self._warned = False
        self._next = 0.0  # time of the next plot

    def after_train_epoch(self, runner: Runner) -> None:
        """Plot the losses of the epoch."""
        self._draw(runner)

    def after_val_epoch(self, runner: Runner, metrics: Optional[dict] = None) -> None:
        """Plot the metrics of the validation if it is part of training."""
        if isinstance(runner._train_loop, BaseLoop):
            self._draw(runner)

    def after_train(self, runner: Runner) -> None:
        """Plot the whole training."""
        self._next = 0.0
        self._draw(runner)

    @master_only
    def _draw(self, runner: Runner) -> None:
        began = time.monotonic()
        if began < self._next:
            return
        try:
            # matplotlib is slow to import.
            from ...report import draw_curves, read_curves

            curves = read_curves(runner.work_dir)
            if curves:
                draw_curves(curves, Path(runner.work_dir) / FILE_NAME)
        except Exception as error:  # a failed plot must not stop training
            if not self._warned:
                runner.logger.warning(f"CurvesHook: the curves can't be drawn: {error}")
            self._warned = True
        ended = time.monotonic()
        self._next = ended + _PAUSE * (ended - began)
