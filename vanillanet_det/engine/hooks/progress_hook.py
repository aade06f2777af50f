"""A progress bar for a whole training run."""

import logging
import sys
import time
from typing import Any, Optional, TextIO

from mmdet.registry import HOOKS
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from tqdm import tqdm

_STATE = "progress_ap"
_REFRESH_S = 0.1


@HOOKS.register_module()
class ProgressHook(Hook):
    """Show the iterations done, time left, epoch, loss and AP in a bar below the log.

    The bar shows the AP of the last and of the best validation. It is drawn to the standard error
    of rank 0; if that isn't a terminal, the hook does nothing.

    Args:
        metric: Suffix of the name of the metric to show.
    """

    # After CheckpointHook (VERY_LOW, 90), but before InterruptHook (LOWEST, 100).
    priority = 95

    def __init__(self, metric: str = "bbox_mAP") -> None:
        self.metric = metric
        self._bar: Optional[tqdm] = None
        self._streams: dict = {}  # the original streams, by logging handler
        self._scores: list[float] = []  # last and best
        self._drawn = 0.0

    def before_train(self, runner: Runner) -> None:
        """Draw the bar, starting at the iteration of the checkpoint if the run is resumed."""
        self._scores = list(runner.message_hub.runtime_info.get(_STATE, []))
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
        loss = runner.message_hub.get_scalar("train/loss").current()
        self._describe(_epoch(runner, runner.epoch + 1), f"loss {loss:.3f}")
        self._bar.update()

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
        """Read the AP from the metrics."""
        if not isinstance(runner._train_loop, BaseLoop):
            return
        found = [value for name, value in (metrics or {}).items() if name.endswith(self.metric)]
        if found:
            self._scores = [found[0], max(found + self._scores)]
            runner.message_hub.update_info(_STATE, self._scores)
        if self._bar is not None:
            self._describe(_epoch(runner, runner.epoch))
            self._bar.refresh()

    def _describe(self, where: str, *values: str) -> None:
        scores = [f"AP {self._scores[0]:.3f}, best {self._scores[1]:.3f}"] if self._scores else []
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


def _epoch(runner: Runner, epoch: int) -> str:
    return f"epoch {epoch}/{runner.max_epochs}" if runner.max_epochs > 1 else "training"
