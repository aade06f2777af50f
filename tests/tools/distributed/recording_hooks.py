"""Hooks for the processes that these tests start."""

import json
import os
import signal
from pathlib import Path

from mmdet.registry import HOOKS
from mmengine.dist import get_rank
from mmengine.hooks import Hook


@HOOKS.register_module()
class RecordLosses(Hook):
    """Write each iteration's loss, which mmengine logs of rank 0 only."""

    priority = "VERY_HIGH"

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        samples = data_batch.get("data_samples", ())  # classifiers have none
        images = [Path(sample.img_path).name for sample in samples]
        record = dict(iter=runner.iter, loss=float(outputs["loss"].detach()), images=images)
        with open(Path(runner.work_dir) / f"losses_{get_rank()}.jsonl", "a") as file:
            file.write(json.dumps(record) + "\n")


@HOOKS.register_module()
class KillRank(Hook):
    """Kill a rank with SIGKILL, unless torchrun has started it again."""

    def __init__(self, rank, iteration):
        self.rank, self.iteration = rank, iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        first_life = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
        if first_life and get_rank() == self.rank and runner.iter == self.iteration:
            os.kill(os.getpid(), signal.SIGKILL)


@HOOKS.register_module()
class PoisonImage(Hook):
    """Put NaN into the images of a rank."""

    def __init__(self, rank, iteration):
        self.rank, self.iteration = rank, iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if get_rank() == self.rank and runner.iter == self.iteration:
            data_batch["inputs"] = [image.float() * float("nan") for image in data_batch["inputs"]]
