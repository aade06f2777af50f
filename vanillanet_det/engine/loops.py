"""MMEngine's training loops, extended to resume inside an epoch."""

from bisect import bisect
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Optional

from mmdet.registry import DATA_SAMPLERS, LOOPS
from mmengine.dataset import InfiniteSampler
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch.utils.data import BatchSampler, Sampler

from ..fileio import atomic_write
from .evaluation_loops import GuardedLoop

_UNFINISHED = "unfinished_epoch"  # key in a checkpoint's meta
_VALIDATION_LEFT = "validation_left"  # file in the work dir that contains an iteration


class ResumableLoop(GuardedLoop):
    """Base class of both training loops, which decides where a resumed run continues.

    A resumed run starts with a pending validation, if there is one. If training is complete, its
    last validation is always repeated. Finished batches are skipped without being loaded, and the
    sampler's seed is restored, so that the order of the images is unchanged.
    """

    _mode = "train"

    def __init__(self, runner: Runner, dataloader: Any, *args: Any, **kwargs: Any) -> None:
        if runner._resume:
            dataloader = _make_skippable(dataloader)
        super().__init__(runner, dataloader, *args, **kwargs)
        self._batches = 0  # of the current epoch, including the current batch
        if isinstance(self.dataloader.batch_sampler, SkippingBatchSampler):
            self.dataloader.batch_sampler.skip = 0

    def _run(self) -> Any:
        self.runner.call_hook("before_train")
        if self.runner._resume and self.runner.val_loop is not None:
            self._make_up_validation()
        self._train()
        self.runner.call_hook("after_train")
        return self.runner.model

    def _validate(self, step: int) -> None:
        self._decide_current_val_interval()
        if self.is_validated(step):
            self.runner.val_loop.run()

    def is_validated(self, step: int) -> bool:
        """Return whether a validation follows an epoch or iteration, counted from 1."""
        if self.runner.val_loop is None:
            return False
        last = self.max_epochs if isinstance(self, EpochBasedTrainLoop) else self.max_iters
        interval = self.dynamic_intervals[bisect(self.dynamic_milestones, step + 1) - 1]
        return step >= self.val_begin and (step % interval == 0 or step == last)

    def leave_validation(self, iteration: int) -> None:
        """Record that the checkpoint after an iteration was not validated."""
        if is_main_process():
            with atomic_write(self._mark) as file:
                file.write(str(iteration).encode())

    def _make_up_validation(self) -> None:
        is_left = self._mark.is_file() and self._mark.read_text() == str(self.iter)
        found = [is_left or self.iter >= self.max_iters]
        broadcast_object_list(found)  # so that all ranks decide alike
        if found[0]:
            self.runner.val_loop.run()
        if is_main_process():
            self._mark.unlink(missing_ok=True)

    @property
    def _mark(self) -> Path:
        return Path(self.runner.work_dir, _VALIDATION_LEFT)

    def save_position(self, meta: dict) -> None:
        """Add the position inside the epoch to a checkpoint's meta."""
        if self._batches:
            meta[_UNFINISHED] = dict(
                batches=self._batches,
                length=len(self.dataloader),
                sampler_seed=getattr(self.dataloader.batch_sampler.sampler, "seed", None),
            )

    def load_position(self, meta: dict) -> None:
        """Restore the position from a checkpoint's meta, if it contains one."""
        epoch, batches = meta.get(_UNFINISHED), self.dataloader.batch_sampler
        if epoch is None:
            return
        if not isinstance(batches, SkippingBatchSampler):
            print_log(
                "The interrupted epoch starts again: only a dataloader that is built from its "
                "config can resume inside it",
                "current",
                level=30,
            )
            return
        if epoch["sampler_seed"] is not None:
            batches.sampler.seed = epoch["sampler_seed"]
        self._skip(batches, epoch)


def is_validated(runner: Runner, step: int) -> bool:
    """Return whether a validation follows an epoch or iteration, if the loop is resumable."""
    loop = runner.train_loop
    return isinstance(loop, ResumableLoop) and loop.is_validated(step)


@LOOPS.register_module()
class ResumableEpochBasedTrainLoop(ResumableLoop, EpochBasedTrainLoop):
    """MMEngine's EpochBasedTrainLoop, extended to resume inside an epoch.

    MMEngine's loop restarts an unfinished epoch at its first batch, whatever the checkpoint
    contains.
    """

    def _train(self) -> None:
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self._validate(self._epoch)

    def _skip(self, batches: "SkippingBatchSampler", epoch: dict) -> None:
        if len(batches) != epoch["length"]:
            print_log(
                f"The interrupted epoch had {epoch['length']} batches and now has {len(batches)}, "
                "so it starts again; to resume inside an epoch, keep the data, batch size and "
                "number of processes",
                "current",
                level=30,
            )
        else:
            batches.skip = epoch["batches"]

    def run_epoch(self) -> None:
        """Run an epoch, or the rest of an epoch, without renumbering the batches."""
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        batches = self.dataloader.batch_sampler
        first = getattr(batches, "skip", 0)
        for idx, data_batch in enumerate(self.dataloader, first):
            self._batches = idx + 1
            self.run_iter(idx, data_batch)
            if self.stop_training:  # by TimeLimitHook; others stop after a validation
                break
        if first:
            batches.skip = 0
        self._batches = 0
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1


@LOOPS.register_module()
class ResumableIterBasedTrainLoop(ResumableLoop, IterBasedTrainLoop):
    """MMEngine's IterBasedTrainLoop, extended to resume at the next batch of an InfiniteSampler.

    MMEngine's loop loads all finished batches again, in another order if the config has no seed.
    """

    def _train(self) -> None:
        self.runner.call_hook("before_train_epoch")
        self._advance()
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            data_batch = next(self.dataloader_iterator)
            self._batches = self._iter + 1
            self.run_iter(data_batch)
            self._validate(self._iter)
        self.runner.call_hook("after_train_epoch")

    def _skip(self, batches: "SkippingBatchSampler", epoch: dict) -> None:
        if isinstance(batches.sampler, InfiniteSampler):
            batches.skip = epoch["batches"]

    def _advance(self) -> None:
        """Move the iterator past the batches that the checkpoint was trained on."""
        batches, skipped = self.dataloader.batch_sampler, 0
        if isinstance(batches, SkippingBatchSampler):
            skipped = batches.skip
            # The first iterator was built before the checkpoint was read, and has no batches.
            self.dataloader_iterator = type(self.dataloader_iterator)(self.dataloader)
        if self._iter > skipped:
            print_log(f"Loading and skipping the first {self._iter} batches", "current")
        for _ in range(self._iter - skipped):
            next(self.dataloader_iterator)


@DATA_SAMPLERS.register_module()
class SkippingBatchSampler(BatchSampler):
    """Wrapper of a batch sampler that skips its first batches, and all until `skip` is set.

    Args:
        sampler: Sampler of the images.
        batch_size: Images per batch.
        drop_last: Drop an incomplete last batch; only for PyTorch's batch sampler.
        batch_sampler: Config of the wrapped batch sampler; None for PyTorch's.

    Attributes:
        skip: Number of batches that the next pass skips, or None for all batches; the length
            still includes them.
    """

    def __init__(
        self,
        sampler: Sampler,
        batch_size: int,
        drop_last: bool = False,
        batch_sampler: Optional[dict] = None,
    ) -> None:
        # Not BatchSampler's constructor: MMDetection's batch samplers may have lists as sizes.
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last
        self.skip: Optional[int] = None
        default = dict(sampler=sampler, batch_size=batch_size)
        if batch_sampler is None:
            self._whole = BatchSampler(**default, drop_last=drop_last)
        else:
            self._whole = DATA_SAMPLERS.build(batch_sampler, default_args=default)

    def __iter__(self) -> Iterator[list]:
        if self.skip is not None:
            yield from islice(self._whole, self.skip, None)

    def __len__(self) -> int:
        return len(self._whole)


def _make_skippable(dataloader: Any) -> Any:
    """Add a SkippingBatchSampler to a dataloader's config, unless it is already built."""
    whole = dataloader.get("batch_sampler") if isinstance(dataloader, dict) else None
    if not isinstance(dataloader, dict) or not isinstance(whole, (dict, type(None))):
        return dataloader
    cfg, sampler = dict(dataloader), dict(type=SkippingBatchSampler.__name__, batch_sampler=whole)
    if whole is None:
        sampler["drop_last"] = cfg.pop("drop_last", False)
    return {**cfg, "batch_sampler": sampler}
