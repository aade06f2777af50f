"""A progress bar for a whole training."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Optional, TextIO

from mmdet.registry import HOOKS
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from tqdm import tqdm

from ..around_run import around_run

_STATE = "progress_ap"
_REFRESH_S = 0.1


@HOOKS.register_module()
class ProgressHook(Hook):
    """Show iterations done, time left, epoch, loss and AP on a terminal, below the log.

    The AP is that of the last validation, and the best so far. The bar is drawn on the standard
    error of rank 0 where that is a terminal; elsewhere the hook does nothing.

    Args:
        metric: The metric that is shown, by the end of its name.
    """

    # After CheckpointHook (VERY_LOW, 90), but before InterruptHook (LOWEST, 100).
    priority = 95

    def __init__(self, metric: str = "bbox_mAP") -> None:
        self.metric = metric
        self._bar: Optional[tqdm] = None
        self._scores: list[float] = []  # last and best
        self._drawn = 0.0

    def before_run(self, runner: Runner) -> None:
        """Take the bar away with the end of the training, whatever ends it."""
        loop = runner._train_loop  # the property would build a loop that this run doesn't need
        if isinstance(loop, BaseLoop) and is_main_process() and sys.stderr.isatty():
            around_run(loop, lambda: self._showing(runner))

    @contextmanager
    def _showing(self, runner: Runner) -> Iterator[None]:
        # Averaged over everything, the time per iteration has its share of the validations.
        self._bar = tqdm(
            total=runner.max_iters,
            initial=runner.iter,
            unit="it",
            smoothing=0,
            dynamic_ncols=True,
            file=sys.stderr,
        )
        streams = {
            handler: handler.setStream(_BesideBar(handler.stream))
            for handler in runner.logger.handlers
            if type(handler) is logging.StreamHandler
        }
        try:
            yield
        finally:
            for handler, stream in streams.items():
                handler.setStream(stream)
            self._bar.close()
            self._bar = None

    def before_train(self, runner: Runner) -> None:
        """Go on from what a checkpoint holds."""
        self._scores = list(runner.message_hub.runtime_info.get(_STATE, []))

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Move the bar on."""
        if self._bar is None:
            return
        loss = runner.message_hub.get_scalar("train/loss").current()
        self._say(_epoch(runner, runner.epoch + 1), f"loss {loss:.3f}")
        self._bar.update()

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        """Say how far the validation is."""
        if self._bar is None:
            return
        done, length = batch_idx + 1, len(runner.val_dataloader)
        self._say(f"{_epoch(runner, runner.epoch)} validating {done}/{length}")
        if done == length:
            self._bar.clear()  # evaluators print
        elif time.monotonic() - self._drawn > _REFRESH_S:
            self._drawn = time.monotonic()
            self._bar.refresh()

    def after_val_epoch(self, runner: Runner, metrics: Optional[dict] = None) -> None:
        """Take the AP in."""
        if not isinstance(runner._train_loop, BaseLoop):
            return
        found = [value for name, value in (metrics or {}).items() if name.endswith(self.metric)]
        if found:
            self._scores = [found[0], max(found + self._scores)]
            runner.message_hub.update_info(_STATE, self._scores)
        if self._bar is not None:
            self._say(_epoch(runner, runner.epoch))
            self._bar.refresh()

    def _say(self, where: str, *values: str) -> None:
        scores = [f"AP {self._scores[0]:.3f}, best {self._scores[1]:.3f}"] if self._scores else []
        self._bar.set_description_str(where, refresh=False)
        self._bar.set_postfix_str(", ".join((*values, *scores)), refresh=False)


class _BesideBar:
    """A stream on the bar's terminal: what is written to it stands above the bar."""

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
