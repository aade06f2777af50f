"""A progress bar for a whole training run, and a line for each epoch."""

import logging
import sys
import time
from typing import Any, Optional, TextIO

from mmdet.registry import HOOKS
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, Runner
from tqdm import tqdm

from ..loops import is_validated

_STATE = "progress_ap"
_REFRESH_S = 0.1
_LEAST_S = 30.0  # between lines without metrics


@HOOKS.register_module()
class ProgressHook(Hook):
    """Log a line for each epoch or validation, and show a bar below the log.

    Epochs that aren't validated have a line at most every half minute.

    Both show the loss, the metric of the last and of the best validation, and the time left. The
    bar is drawn to the standard error of rank 0 if that is a terminal.

    Args:
        metric: Suffix of the name of the metric of which the best value is shown.
        name: Its name on the console.
    """

    # After CheckpointHook (VERY_LOW, 90), but before InterruptHook (LOWEST, 100).
    priority = 95

    def __init__(self, metric: str = "bbox_mAP", name: str = "AP") -> None:
        self.metric, self.name = metric, name
        self._bar: Optional[tqdm] = None
        self._streams: dict = {}  # the original streams, by logging handler
        self._scores: list[float] = []  # last and best
        self._drawn = 0.0
        self._start = (0, 0.0)  # first iteration, and when it began
        self._logged = 0.0  # when the last line was

    def before_train(self, runner: Runner) -> None:
        """Draw the bar, starting at the iteration of the checkpoint if the run is resumed."""
        self._scores = list(runner.message_hub.runtime_info.get(_STATE, []))
        self._logged = time.monotonic()
        self._start = (runner.iter, self._logged)
        if not (is_main_process() and sys.stderr.isatty()):
            return
        # Without smoothing, the time per iteration includes its share of the validations.
        self._bar = tqdm(
            total=runner.max_iters,
            initial=runner.iter,
            unit="it",
            smoothing=0,
            dynamic_ncols=True,
            file=sys.stderr,
        )
        self._streams = {
            handler: handler.setStream(_AboveBar(handler.stream))
            for handler in runner.logger.handlers
            if type(handler) is logging.StreamHandler
        }

    def after_train(self, runner: Runner) -> None:
        """Remove the bar."""
        self.end_train(runner)

    def end_train(self, runner: Runner) -> None:
        """Remove the bar, however training ended."""
        while self._streams:
            handler, stream = self._streams.popitem()
            handler.setStream(stream)
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def after_train_iter(self, runner: Runner, **_: Any) -> None:
        """Advance the bar."""
        if self._bar is None:
            return
        self._describe(_epoch(runner, runner.epoch + 1), *_loss(runner))
        self._bar.total = runner.max_iters  # it may change
        self._bar.update()

    def after_train_epoch(self, runner: Runner) -> None:
        """Log the line of an epoch that isn't validated, unless there was one just before."""
        loop, epoch = runner.train_loop, runner.epoch + 1
        if not isinstance(loop, EpochBasedTrainLoop) or is_validated(runner, epoch):
            return
        if epoch == loop.max_epochs or time.monotonic() - self._logged >= _LEAST_S:
            self._log(runner, epoch)

    def after_val_iter(self, runner: Runner, batch_idx: int, **_: Any) -> None:
        """Show the progress of the validation."""
        if self._bar is None:
            return
        done, length = batch_idx + 1, len(runner.val_dataloader)
        self._describe(f"{_epoch(runner, runner.epoch)} validating {done}/{length}")
        if done == length:
            self._bar.clear()  # because evaluators print
        elif time.monotonic() - self._drawn > _REFRESH_S:
            self._drawn = time.monotonic()
            self._bar.refresh()

    def after_val_epoch(self, runner: Runner, metrics: Optional[dict] = None) -> None:
        """Read the metric, and log the line of the epoch."""
        if not isinstance(runner._train_loop, BaseLoop):
            return
        found = [value for name, value in (metrics or {}).items() if name.endswith(self.metric)]
        if found:
            self._scores = [found[0], max(found + self._scores)]
            runner.message_hub.update_info(_STATE, self._scores)
        self._log(runner, runner.epoch, metrics)
        if self._bar is not None:
            self._describe(_epoch(runner, runner.epoch))
            self._bar.refresh()

    def after_test_epoch(self, runner: Runner, metrics: Optional[dict] = None) -> None:
        """Log the metrics of a test."""
        values = ", ".join(f"{name} {value}" for name, value in (metrics or {}).items())
        runner.logger.info(values or "no metrics")

    def _log(self, runner: Runner, epoch: int, metrics: Optional[dict] = None) -> None:
        first, began = self._start
        done, total = runner.iter, runner.max_iters
        seconds = (time.monotonic() - began) / max(1, done - first) * (total - done)
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        where = f"epoch {epoch}/{runner.max_epochs}" if by_epoch else f"iteration {done}/{total}"
        values = [*_loss(runner), *_named_scores(metrics or {})]
        values += ["no metrics"] * (metrics == {})
        values += [f"best {best:.3f}" for best in self._scores[1:] if metrics]
        if done >= total:
            values.append("done")
        elif done > first:
            values.append(f"{tqdm.format_interval(seconds)} left")
        runner.logger.info(f"{where}: {', '.join(values)}")
        self._logged = time.monotonic()

    def _describe(self, where: str, *values: str) -> None:
        scores = []
        if self._scores:
            scores = [f"{self.name} {self._scores[0]:.3f}, best {self._scores[1]:.3f}"]
        self._bar.set_description_str(where, refresh=False)
        self._bar.set_postfix_str(", ".join((*values, *scores)), refresh=False)


class _AboveBar:
    """A stream that writes to the terminal above the bar."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with tqdm.external_write_mode(file=self._stream):
            written = self._stream.write(text)
            self._stream.flush()
        return written


def _loss(runner: Runner) -> list[str]:
    history = runner.message_hub.log_scalars.get("train/loss")
    return [] if history is None else [f"loss {history.current():.3f}"]


def _named_scores(metrics: dict) -> list[str]:
    """Return the precisions among COCO's metrics, or all metrics if there are none."""
    found = {
        f"{kind}AP{iou}": value
        for name, value in metrics.items()
        for key, kind in (("bbox", ""), ("segm", "mask "))
        for iou in ("", "50")
        if name.endswith(f"{key}_mAP_{iou}".rstrip("_"))
    }
    numbers = {name: value for name, value in metrics.items() if isinstance(value, (int, float))}
    return [f"{name} {value:.3f}" for name, value in (found or numbers).items()]


def _epoch(runner: Runner, epoch: int) -> str:
    return f"epoch {epoch}/{runner.max_epochs}" if runner.max_epochs > 1 else "training"
