"""An epoch that was interrupted goes on with the batch after its last one.

MMEngine's EpochBasedTrainLoop begins an epoch with its first batch, whatever the checkpoint says.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop
from torch.utils.data import BatchSampler

UNFINISHED = "unfinished_epoch"


def describe_epoch(loop: EpochBasedTrainLoop, batches: int) -> dict:
    """Describe an unfinished epoch for a checkpoint.

    Args:
        loop: The loop.
        batches: How many batches of the epoch are done.
    """
    sampler = loop.dataloader.batch_sampler.sampler
    return dict(
        batches=batches, length=len(loop.dataloader), sampler_seed=getattr(sampler, "seed", None)
    )


def go_on_in_epoch(loop: EpochBasedTrainLoop, epoch: dict) -> None:
    """Let the next epoch of a loop begin with the batch after the last one done.

    Batches that are done are left out before they are loaded, and the others keep their numbers.
    The sampler gets the seed it had, since the order of the images hangs on it.

    Args:
        loop: The loop, before it runs.
        epoch: What `describe_epoch` said when the epoch was interrupted.
    """
    loader = loop.dataloader
    if len(loader) != epoch["length"]:
        print_log(
            f"The interrupted epoch had {epoch['length']} batches and now has {len(loader)}, so "
            "it begins anew; keep data, batch size and number of processes to go on in it",
            "current",
            level=30,
        )
        return
    if epoch["sampler_seed"] is not None:
        loader.batch_sampler.sampler.seed = epoch["sampler_seed"]
    rest = _Rest(loader.batch_sampler, epoch["batches"])
    # Past DataLoader's own __setattr__, which lets nobody change this; no iterator is made yet.
    object.__setattr__(loader, "batch_sampler", rest)
    run_iter = loop.run_iter

    def run_shifted(idx: int, data_batch: Any) -> None:
        run_iter(idx + rest.skipped, data_batch)

    loop.run_iter = run_shifted


class _Rest(BatchSampler):
    """Another batch sampler, of which the first pass lacks the first batches."""

    def __init__(self, whole: BatchSampler, skip: int) -> None:
        self.sampler = whole.sampler  # whose epoch mmengine sets
        self.batch_size = whole.batch_size
        self.drop_last = whole.drop_last
        self.skipped = 0  # in the pass that goes on
        self._whole = whole
        self._skip = skip

    def __iter__(self) -> Iterator[list]:
        # A generator, so that this waits for the first batch: an iterator with workers is made
        # of the second of two, and leaves the first one unused.
        self.skipped, self._skip = self._skip, 0
        yield from islice(self._whole, self.skipped, None)

    def __len__(self) -> int:
        return len(self._whole)
