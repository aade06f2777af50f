"""The batches of an unfinished epoch, in whatever way they are put together."""

import pytest
from mmdet.datasets.samplers import AspectRatioBatchSampler
from mmengine.dataset import DefaultSampler
from torch.utils.data import BatchSampler, DataLoader, Dataset

from vanillanet_det.engine.unfinished_epoch import describe_epoch, go_on_in_epoch


class Sizes(Dataset):
    """Pictures of two shapes: by shape, batches aren't consecutive samples."""

    def __len__(self):
        return 22

    def __getitem__(self, index):
        return index

    def get_data_info(self, index):
        return dict(width=1 + index % 3 // 2, height=2 - index % 3 // 2)


class Loop:
    """Of mmengine's loop what is called here; runs an epoch as it does."""

    def __init__(self, kind, seed, **options):
        sampler = DefaultSampler(Sizes(), seed=seed)
        batches = kind(sampler, batch_size=4, drop_last=False)
        self.dataloader = DataLoader(Sizes(), batch_sampler=batches, **options)
        self.seen = []

    def run_iter(self, idx, data_batch):
        self.seen.append((idx, data_batch.tolist()))

    def run_epoch(self, epoch):
        self.seen = []
        self.dataloader.batch_sampler.sampler.set_epoch(epoch)
        for idx, data_batch in enumerate(self.dataloader):
            self.run_iter(idx, data_batch)
        return self.seen


@pytest.mark.parametrize("kind", [BatchSampler, AspectRatioBatchSampler])
@pytest.mark.parametrize(
    "options", [{}, dict(num_workers=1), dict(num_workers=1, persistent_workers=True)]
)
def test_the_batches_that_are_left(kind, options):
    undisturbed = Loop(kind, seed=1)
    epochs = [undisturbed.run_epoch(epoch) for epoch in (3, 4)]
    assert len(epochs[0]) == 6
    loop = Loop(kind, seed=2, **options)
    go_on_in_epoch(loop, describe_epoch(undisturbed, batches=4))
    assert loop.run_epoch(3) == epochs[0][4:]
    assert loop.run_epoch(4) == epochs[1]
    assert len(loop.dataloader) == 6


def test_all_batches_done_leave_none():
    loop = Loop(BatchSampler, seed=1)
    go_on_in_epoch(loop, describe_epoch(loop, batches=6))
    assert loop.run_epoch(0) == []
    assert len(loop.run_epoch(1)) == 6
