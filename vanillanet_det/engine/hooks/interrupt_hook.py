"""Interrupted training saves a checkpoint and reports how to resume."""

import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Optional

import torch
from mmdet.registry import HOOKS
from mmengine.dist import all_reduce, barrier, is_distributed, is_main_process
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, Runner

from ...checkpoints import INTERRUPTED
from ...fileio import atomic_write
from ..loops import ResumableEpochBasedTrainLoop, ResumableLoop, is_validated
from ..workers import shield_built

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# A launcher forwards a signal that the terminal has already sent to all processes.
_ONE_PRESS_S = 1.0
_HEARD = b"\nInterrupted: finishing the current step; press again to exit at once\n"


@HOOKS.register_module()
class InterruptHook(Hook):
    """Let Ctrl-C (SIGINT) and SIGTERM stop training without losing progress.

    After a signal, the hook finishes the current iteration, writes `interrupted.pth` to the work
    dir (completely or not at all), logs how to resume, and exits with status 130 or 143. With
    accumulated gradients, it continues until the next optimizer step. At the end of an epoch and
    during validation, it uses CheckpointHook's checkpoint if there is one. A second signal ends
    the process at once, except while a checkpoint is being written. `interrupted.pth` is removed
    once there is a newer checkpoint. In a distributed run, all ranks stop after the same
    iteration, whichever rank received the signal.

    With the resumable loops of this project, which `vanillanet-det train` uses instead of
    MMEngine's, a resumed run continues with the next batch of its epoch, or with the interrupted
    validation. Other loops restart the epoch, which is logged.

    Args:
        go_on: Command that resumes training, for the log.
    """

    # After CheckpointHook (VERY_LOW, 90), so that no state is saved twice.
    priority = "LOWEST"

    def __init__(self, go_on: Optional[str] = None) -> None:
        self.go_on = go_on
        self._handlers: dict = {}  # the replaced handlers, by signal
        self._signal = 0
        self._since = 0.0
        self._process = 0
        self._writing = False
        self._saved = (-1, "")  # of the newest checkpoint: iterations done, path; only in rank 0
        self._is_saved = False  # whether rank 0 has saved all progress; synchronised across ranks

    @property
    def _command(self) -> str:
        return self.go_on or "the same command with --resume"

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Pass the position inside the epoch to the loop."""
        if runner._resume and isinstance(runner._train_loop, ResumableLoop):
            runner.train_loop.load_position(checkpoint["meta"])

    def before_train(self, runner: Runner) -> None:
        """Start to listen for signals, until the end of training."""
        self._listen()
        if runner._resume:
            self._saved, self._is_saved = (runner.iter, str(runner._load_from)), True
        if not isinstance(runner.train_loop, ResumableLoop):
            shield_built(runner.train_dataloader)
            if runner.val_loop is not None:
                shield_built(runner.val_dataloader)
            runner.logger.info(
                f"{type(runner.train_loop).__name__} restarts an interrupted epoch or validation "
                f"when resumed; derive it from {ResumableEpochBasedTrainLoop.__name__} to "
                "continue at the point of interruption"
            )

    def after_train(self, runner: Runner) -> None:
        """Stop listening, and exit if a signal arrived during the last steps."""
        number = self._signal
        self.end_train(runner)
        if number:
            runner.logger.info(
                "Interrupted after training was complete. To run the remaining steps: "
                f"{self._command}"
            )
            raise SystemExit(128 + number)

    def end_train(self, runner: Runner) -> None:
        """Restore the signal handlers, however training ended."""
        while self._handlers:
            number, handler = self._handlers.popitem()
            signal.signal(number, handler or signal.SIG_DFL)
        self._signal = 0

    def _listen(self) -> None:
        self._signal, self._process = 0, os.getpid()
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                # Signals that were ignored from the start, as with nohup, stay ignored. This hook
                # is still listening if a custom loop has raised an error before.
                if signal.getsignal(number) not in (signal.SIG_IGN, self._note):
                    self._handlers[number] = signal.signal(number, self._note)

    def _note(self, number: int, frame: Any) -> None:
        # A dataloader worker inherits this handler until it sets its own.
        if os.getpid() != self._process or self._writing:
            return
        if not self._signal:
            self._signal, self._since = number, time.monotonic()
            if is_main_process():
                with suppress(OSError):
                    os.write(2, _HEARD)  # print is not reentrant
        elif time.monotonic() - self._since > _ONE_PRESS_S:
            raise SystemExit(128 + number)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Save the position inside the epoch, and record the checkpoint as resumable."""
        if isinstance(runner._train_loop, ResumableLoop):
            runner.train_loop.save_position(checkpoint["meta"])
        if "optimizer" in checkpoint:
            path = runner.message_hub.runtime_info.get("last_ckpt", "")
            self._saved = (checkpoint["meta"]["iter"], str(path))

    def after_train_iter(self, runner: Runner, batch_idx: int, **_: Any) -> None:
        """Stop after a signal, with SystemExit."""
        loop, done = runner.train_loop, runner.iter + 1
        number = self._agree(runner, done)
        if not number or not _has_stepped(runner):
            return
        by_epoch = isinstance(loop, EpochBasedTrainLoop)
        if by_epoch and self.end_of_epoch(loop.dataloader, batch_idx):
            return  # stop after the steps at the end of the epoch instead
        left = not by_epoch and is_validated(runner, done)
        self._stop(runner, number, dict(epoch=runner.epoch, iter=done), left)

    def after_train_epoch(self, runner: Runner) -> None:
        """Stop after a signal, with SystemExit."""
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            return  # training is complete
        number = self._agree(runner, runner.iter)
        is_left = runner.iter < runner.max_iters or runner.val_loop is not None
        if number and is_left:
            epoch = runner.epoch + 1
            meta = dict(epoch=epoch, iter=runner.iter)
            self._stop(runner, number, meta, left=is_validated(runner, epoch))

    def after_val_iter(self, runner: Runner, **_: Any) -> None:
        """Stop after a signal, with SystemExit, if the validated weights are saved."""
        # Ranks aren't synchronised during validation, so each rank stops by itself.
        if self._signal and self._is_saved:
            left = isinstance(runner.train_loop, ResumableLoop)
            self._exit(runner, self._signal, runner.iter, left)

    def after_val_epoch(self, runner: Runner, **_: Any) -> None:
        """Stop after a signal, with SystemExit."""
        # Use the attribute: the property would build a loop that evaluation doesn't need.
        loop = runner._train_loop
        if not isinstance(loop, BaseLoop):
            return
        number = self._agree(runner, runner.iter)
        if number and runner.iter < runner.max_iters and not loop.stop_training:
            self._stop(runner, number, dict(epoch=runner.epoch, iter=runner.iter))

    def _agree(self, runner: Runner, done: int) -> int:
        """Return the signal that any rank received, and update whether all progress is saved."""
        number, self._is_saved = self._signal, self._saved[0] == done
        # Only rank 0 ever saves a checkpoint.
        if self._is_saved and Path(self._saved[1]).name != INTERRUPTED:
            Path(runner.work_dir, INTERRUPTED).unlink(missing_ok=True)
        if is_distributed():
            ours = torch.tensor([number, self._is_saved], dtype=torch.int32)
            all_reduce(ours, op="max")
            number, self._is_saved = int(ours[0]), bool(ours[1])
        return number

    def _stop(self, runner: Runner, number: int, meta: dict, left: bool = False) -> None:
        done = meta["iter"]
        if is_main_process() and self._saved[0] != done:
            self._writing = True
            path = Path(runner.work_dir) / INTERRUPTED
            atomic = dict(backend="atomic")
            runner.save_checkpoint(runner.work_dir, path.name, meta=meta, backend_args=atomic)
            with atomic_write(path.with_name("last_checkpoint")) as file:
                file.write(str(path).encode())  # MMEngine reads this file to resume
            self._saved = (done, str(path))
        barrier()
        self._exit(runner, number, done, left)

    def _exit(self, runner: Runner, number: int, done: int, left: bool) -> None:
        if left:
            runner.train_loop.leave_validation(done)
        runner.logger.info(
            f"Interrupted ({signal.Signals(number).name}) after iteration {done} of "
            f"{runner.max_iters}, saved as {self._saved[1]}"
            f"{'; its validation is pending' * left}. Resume: {self._command}"
        )
        self.end_train(runner)
        raise SystemExit(128 + number)


def _has_stepped(runner: Runner) -> bool:
    """Return whether no accumulated gradients are pending; these wouldn't be saved."""
    wrapper = runner.optim_wrapper
    return isinstance(wrapper, OptimWrapperDict) or wrapper.should_update()
