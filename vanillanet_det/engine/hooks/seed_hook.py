"""Random numbers that a resumed run draws again."""

from typing import Optional

import torch
from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...datasets.classification import seed_all


@HOOKS.register_module()
class SeedHook(Hook):
    """Seed all random numbers by seed, iteration and rank, and the dataset by the epoch.

    A run that was killed anywhere then continues as if it hadn't been, in any number of processes.
    The workers of the dataloader must not be persistent: they get the epoch when they start.
    """

    priority = "VERY_HIGH"

    def before_train_epoch(self, runner: Runner) -> None:
        """Tell the dataset which epoch begins."""
        runner.train_loop.dataloader.dataset.epoch = runner.epoch

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Optional[dict] = None
    ) -> None:
        """Seed what the iteration draws: mixup, dropout."""
        seed_all(runner.seed, runner.iter, runner.rank)
        if torch.cuda.is_available():
            torch.cuda.manual_seed_all(torch.initial_seed())
