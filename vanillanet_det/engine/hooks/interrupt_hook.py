"""A training that is interrupted leaves a checkpoint, and says how to go on."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Optional

import torch
from mmdet.registry import HOOKS
from mmengine.dist import (
    all_reduce,
    barrier,
    is_distributed,
    is_main_process,
)
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, Runner

from ...checkpoints import INTERRUPTED
from ...fileio import atomic_write
from ..around_run import around_run
from ..unfinished_epoch import UNFINISHED, describe_epoch, go_on_in_epoch
from ..validation_left import is_validated, leave_validation, make_up_validation
from ..workers import shield

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# A launcher hands on what the terminal has sent to all processes already.
_ONE_PRESS_S = 1.0
_HEARD = b"\nInterrupted: what runs is brought to an end first; once more ends at once\n"


@HOOKS.register_module()
class InterruptHook(Hook):
    """Let Ctrl-C (SIGINT) and SIGTERM end a training so that nothing is lost.

    The running iteration is finished, and `interrupted.pth` written to the work dir, whole or
    not at all; the log says how to go on; the process ends with status 130 or 143. With
    accumulated gradients it is the iteration of their step. At the end of an epoch, and in a
    validation, the checkpoint of CheckpointHook serves if there is one. A second signal ends the
    process at once, but for a checkpoint that is being written. Workers of a training that counts
    iterations start before any hook is called; `shield_workers` keeps the signals from them.

    A training that is resumed goes on with the next batch of its epoch, or with the validation
    that was interrupted; of one that is complete the last validation is done again.
    `interrupted.pth` is removed once the next checkpoint is there. In a distributed run all ranks
    stop after the same iteration, whichever was told.

    Args:
        go_on: How to go on, in words for the log.
    """

    # After CheckpointHook (VERY_LOW, 90): what it saves is not saved twice.
    priority = "LOWEST"

    def __init__(self, go_on: Optional[str] = None) -> None:
        self.go_on = go_on
        self._signal = 0
        self._since = 0.0
        self._process = 0
        self._writing = False
        self._unfinished: Optional[dict] = None  # the epoch in the checkpoint
        self._batches = 0  # of the running epoch, with the running one
        self._saved = (-1, "")  # iterations done in the newest checkpoint, its path; in rank 0
        self._is_saved = False  # what is done, in rank 0; all ranks agree on it

    def before_run(self, runner: Runner) -> None:
        """Listen while the training runs, and no longer."""
        if _is_training(runner):
            around_run(runner.train_loop, lambda: self._listening(runner))

    @contextmanager
    def _listening(self, runner: Runner) -> Iterator[None]:
        self._signal, self._process = 0, os.getpid()
        previous = {}
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                # Ignored from the start, as by nohup, it stays so.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    previous[number] = signal.signal(number, self._note)
        try:
            yield
            if self._signal:
                runner.logger.info(
                    "The training was interrupted when it was complete. What follows it: "
                    f"{self.go_on or 'the same command with --resume'}"
                )
                raise SystemExit(128 + self._signal)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler or signal.SIG_DFL)
            self._signal = 0

    def _note(self, number: int, frame: Any) -> None:
        # A worker of a dataloader has this handler until it has its own.
        if os.getpid() != self._process or self._writing:
            return
        if not self._signal:
            self._signal, self._since = number, time.monotonic()
            if is_main_process():
                with suppress(OSError):
                    os.write(2, _HEARD)  # print is not reentrant
        elif time.monotonic() - self._since > _ONE_PRESS_S:
            raise SystemExit(128 + number)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Read how far its epoch was."""
        if runner._resume:
            self._unfinished = checkpoint["meta"].get(UNFINISHED)

    def before_train(self, runner: Runner) -> None:
        """Keep the signals from the workers, and go on where the checkpoint is."""
        shield(runner.train_dataloader)
        if runner.val_loop is not None:
            shield(runner.val_dataloader)
        if self._unfinished and isinstance(runner.train_loop, EpochBasedTrainLoop):
            go_on_in_epoch(runner.train_loop, self._unfinished)
        if runner._resume:
            self._saved, self._is_saved = (runner.iter, str(runner._load_from)), True
            if runner.val_loop is not None:
                make_up_validation(runner)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Count the epoch's batches."""
        self._batches = batch_idx + 1

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep how far the epoch is, and note what can be resumed from."""
        meta, loop = checkpoint["meta"], runner.train_loop
        # At an epoch's end checkpoints have the number of the next one.
        is_unfinished = self._batches and meta["epoch"] == runner.epoch
        if is_unfinished and isinstance(loop, EpochBasedTrainLoop):
            meta[UNFINISHED] = describe_epoch(loop, self._batches)
        if "optimizer" in checkpoint:
            path = runner.message_hub.runtime_info.get("last_ckpt", "")
            self._saved = (meta["iter"], str(path))

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Stop if it is time.

        Raises:
            SystemExit: With status 130 or 143.
        """
        loop, done = runner.train_loop, runner.iter + 1
        self._remove_outdated(runner, done)
        number, self._is_saved = self._agree(done)
        if not number or not _has_stepped(runner):
            return
        by_epoch = isinstance(loop, EpochBasedTrainLoop)
        if by_epoch and self.end_of_epoch(loop.dataloader, batch_idx):
            return  # and stop after what the epoch's end brings
        left = not by_epoch and is_validated(runner, done)
        self._stop(runner, number, dict(epoch=runner.epoch, iter=done), left)

    def after_train_epoch(self, runner: Runner) -> None:
        """Stop if it is time.

        Raises:
            SystemExit: With status 130 or 143.
        """
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            return  # the training is over
        self._batches = 0
        self._remove_outdated(runner, runner.iter)
        number, self._is_saved = self._agree(runner.iter)
        is_left = runner.iter < runner.max_iters or runner.val_loop is not None
        if number and is_left:
            epoch = runner.epoch + 1
            meta = dict(epoch=epoch, iter=runner.iter)
            self._stop(runner, number, meta, left=is_validated(runner, epoch))

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        """Stop if what is validated is saved.

        Raises:
            SystemExit: With status 130 or 143.
        """
        # No step of a validation is common to all ranks: each stops by itself.
        if self._signal and self._is_saved:
            self._end(runner, self._signal, runner.iter, left=True)

    def after_val_epoch(self, runner: Runner, metrics: Optional[dict] = None) -> None:
        """Stop if it is time.

        Raises:
            SystemExit: With status 130 or 143.
        """
        if not _is_training(runner):
            return
        loop = runner.train_loop
        number, _ = self._agree(runner.iter)
        if number and runner.iter < runner.max_iters and not loop.stop_training:
            self._stop(runner, number, dict(epoch=runner.epoch, iter=runner.iter))

    def _agree(self, done: int) -> tuple[int, bool]:
        """Find the signal that any rank got, and whether rank 0 has saved what is done."""
        mine = self._signal, self._saved[0] == done
        if not is_distributed():
            return mine
        ours = torch.tensor(mine, dtype=torch.int32)
        all_reduce(ours, op="max")
        return int(ours[0]), bool(ours[1])

    def _stop(self, runner: Runner, number: int, meta: dict, left: bool = False) -> None:
        done = meta["iter"]
        if is_main_process() and self._saved[0] != done:
            self._writing = True
            path = Path(runner.work_dir) / INTERRUPTED
            atomic = dict(backend="atomic")
            runner.save_checkpoint(runner.work_dir, path.name, meta=meta, backend_args=atomic)
            with atomic_write(path.with_name("last_checkpoint")) as file:
                file.write(str(path).encode())  # where mmengine looks
            self._saved = (done, str(path))
        barrier()
        self._end(runner, number, done, left)

    def _end(self, runner: Runner, number: int, done: int, left: bool) -> None:
        if left:
            leave_validation(runner, done)
        runner.logger.info(
            f"Interrupted ({signal.Signals(number).name}) after iteration {done} of "
            f"{runner.max_iters}, saved as {self._saved[1]}{'; its validation is left' * left}. "
            f"Go on: {self.go_on or 'the same command with --resume'}"
        )
        raise SystemExit(128 + number)

    def _remove_outdated(self, runner: Runner, done: int) -> None:
        # In ranks other than 0 nothing is ever saved.
        if self._saved[0] == done:
            Path(runner.work_dir, INTERRUPTED).unlink(missing_ok=True)


def _is_training(runner: Runner) -> bool:
    # The attribute, and not the property, which would build a loop that this run doesn't need.
    return isinstance(runner._train_loop, BaseLoop)


def _has_stepped(runner: Runner) -> bool:
    """Tell whether no gradients wait for the step of an optimizer; they are not saved."""
    wrapper = runner.optim_wrapper
    return isinstance(wrapper, OptimWrapperDict) or wrapper.should_update()
