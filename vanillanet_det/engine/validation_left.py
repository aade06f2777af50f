"""A validation that an interruption left out is done first when the training goes on."""

from bisect import bisect
from pathlib import Path

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from ..fileio import atomic_write

_MARK = "validation_left"  # in the work dir; holds the iteration whose checkpoint it is of


def leave_validation(runner: Runner, iteration: int) -> None:
    """Note that the checkpoint after an iteration was not validated."""
    if is_main_process():
        with atomic_write(Path(runner.work_dir, _MARK)) as file:
            file.write(str(iteration).encode())


def make_up_validation(runner: Runner) -> None:
    """Do the validation that was left out, in a training that is resumed and has one.

    Of a training that is complete the last one is done in any case.
    """
    mark = Path(runner.work_dir, _MARK)
    left = mark.is_file() and mark.read_text() == str(runner.iter)
    found = [left or runner.iter >= runner.max_iters]
    broadcast_object_list(found)  # all ranks do the same
    if found[0]:
        runner.val_loop.run()
    if is_main_process():
        mark.unlink(missing_ok=True)


def is_validated(runner: Runner, step: int) -> bool:
    """Tell whether a validation follows an epoch or iteration, as MMEngine's loops decide it."""
    loop = runner.train_loop
    if runner.val_loop is None or not isinstance(loop, (EpochBasedTrainLoop, IterBasedTrainLoop)):
        return False
    last = loop.max_epochs if isinstance(loop, EpochBasedTrainLoop) else loop.max_iters
    # The loop's own val_interval is still that of the step before.
    interval = loop.dynamic_intervals[bisect(loop.dynamic_milestones, step + 1) - 1]
    return step >= loop.val_begin and (step % interval == 0 or step == last)
