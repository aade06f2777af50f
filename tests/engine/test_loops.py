"""Resumed epochs with any batch sampler and any workers; hooks after a loop that raises."""

import multiprocessing
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from mmdet.registry import DATA_SAMPLERS
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import BatchSampler, Dataset

from vanillanet_det.engine.loops import ResumableEpochBasedTrainLoop, SkippingBatchSampler

FEW = {
    "train_cfg.max_epochs": 1,
    "train_dataloader.dataset.indices": 4,
    "val_dataloader.dataset.indices": 2,
    "test_dataloader.dataset.indices": 2,
}
pytestmark = pytest.mark.usefixtures("mmdet_scope")


class Sizes(Dataset):
    """Images of two shapes: by shape, batches aren't consecutive samples."""

    def __len__(self):
        return 22

    def __getitem__(self, index):
        return index

    def get_data_info(self, index):
        return dict(width=1 + index % 3 // 2, height=2 - index % 3 // 2)


class Loop(ResumableEpochBasedTrainLoop):
    """The loop over numbers in the place of images."""

    def __init__(self, kind, seed, **options):
        runner = SimpleNamespace(
            seed=seed,
            model=nn.Identity(),
            visualizer=SimpleNamespace(),
            build_dataloader=Runner.build_dataloader,
            call_hook=lambda name: None,
            _resume=True,
            _randomness_cfg={},
        )
        batches = None if kind is None else dict(type=kind)
        dataloader = dict(
            dataset=Sizes(),
            sampler=dict(type="DefaultSampler"),
            batch_sampler=batches,
            batch_size=4,
            **options,
        )
        super().__init__(runner, dataloader, max_epochs=5)
        self.seen = []

    def run_iter(self, idx, data_batch):
        self.seen.append((idx, data_batch))

    def run_epoch(self, epoch):
        self.seen = []
        self.dataloader.batch_sampler.sampler.set_epoch(epoch)
        super().run_epoch()
        return self.seen


def position_after(loop, batches):
    """Position in a checkpoint after some batches of the epoch."""
    loop._batches, meta = batches, {}
    loop.save_position(meta)
    return meta


@pytest.mark.parametrize("kind", [None, "AspectRatioBatchSampler"])
@pytest.mark.parametrize(
    "options", [{}, dict(num_workers=1), dict(num_workers=1, persistent_workers=True)]
)
def test_the_batches_that_are_left(kind, options):
    undisturbed = Loop(kind, seed=1)
    epochs = [undisturbed.run_epoch(epoch) for epoch in (3, 4)]
    assert len(epochs[0]) == 6
    loop = Loop(kind, seed=2, **options)
    loop.load_position(position_after(undisturbed, batches=4))
    assert loop.run_epoch(3) == epochs[0][4:]
    assert loop.run_epoch(4) == epochs[1]
    assert len(loop.dataloader) == 6


def test_all_batches_done_leave_none():
    loop = Loop(None, seed=1)
    loop.load_position(position_after(loop, batches=6))
    assert loop.run_epoch(0) == []
    assert len(loop.run_epoch(1)) == 6


@pytest.mark.parametrize("mode", ["train", "val", "test"])
@pytest.mark.parametrize("raises", [True, False])
def test_hooks_are_called_however_a_loop_ends(mode, raises, make_runner, monkeypatch):
    runner, ends = make_runner(**FEW), []

    class Note(Hook):
        def end_train(self, runner):
            ends.append("train")

        def end_val(self, runner):
            ends.append("val")

        def end_test(self, runner):
            ends.append("test")

    def fail(self, *args, **kwargs):
        raise RuntimeError("broken")

    runner.register_hook(Note())
    if raises:
        monkeypatch.setattr(type(runner.model), f"{mode}_step", fail)
    with pytest.raises(RuntimeError, match="broken") if raises else nullcontext():
        getattr(runner, mode)()
    assert ends == (["val", "train"] if mode == "train" and not raises else [mode])


def test_a_batch_sampler_with_a_size_for_each_dataset_is_wrapped():
    class OfEach(BatchSampler):
        def __init__(self, sampler, batch_size):
            self.sampler, self.batch_size = sampler, batch_size

        def __iter__(self):
            yield from ([0], [1, 2], [3])

        def __len__(self):
            return 3

    DATA_SAMPLERS.register_module(module=OfEach, force=True)
    batches = SkippingBatchSampler(range(4), [1, 2], batch_sampler=dict(type="OfEach"))
    assert list(batches) == []
    batches.skip = 1
    assert list(batches) == [[1, 2], [3]]


@pytest.mark.parametrize("mode", ["train", "test"])
def test_no_worker_outlives_its_loop(make_runner, mode):
    before = set(multiprocessing.active_children())
    workers = {
        f"{key}_dataloader.{option}": value
        for key in ("train", "val", "test")
        for option, value in dict(num_workers=1, persistent_workers=True).items()
    }
    runner = make_runner(**FEW, **workers)
    getattr(runner, mode)()
    assert set(multiprocessing.active_children()) <= before
