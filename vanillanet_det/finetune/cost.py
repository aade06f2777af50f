"""Measures how long a training run takes, and fits its length to a given time."""

import math
import os
import statistics
import time
import warnings
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any, Optional

import torch
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from tqdm import tqdm

from ..configs import type_name
from ..engine.optimizers import FusedAdamW
from ..engine.workers import shield_workers
from ..errors import UserError
from ..models.deploy import deploy_refusal, is_deployable, switch_to_deploy
from .schedule import set_averaging

_MOST, _ENOUGH_S = 20, 8.0  # iterations, and seconds after which there are enough
_EVALUATION_SHARE = 0.15  # of the time, at most
_LOADING_SHARE = 0.1  # of an iteration, at most, without workers
_MOST_VALIDATIONS = 30  # each has a line on the console
_MANY = 100  # times the expected epochs
_LAST_S = 8.0  # to start and to write the report, without the evaluation for it


@dataclass(frozen=True)
class Cost:
    """What training and evaluation take.

    Attributes:
        iteration: Seconds of a training iteration.
        evaluation: Seconds of a validation.
        loading: Seconds of an iteration in which images are loaded, by one process.
        length: Iterations in an epoch.
        num_bytes: Highest memory of this process, or of its GPU; None if it is unknown.
    """

    iteration: float
    evaluation: float
    loading: float
    length: int
    num_bytes: Optional[int]

    @property
    def val_interval(self) -> int:
        """Epochs between validations, so that these don't take much of the time."""
        return math.ceil(self.evaluation / (_EVALUATION_SHARE * self.iteration * self.length))

    def seconds(self, epochs: int) -> float:
        """Return how long epochs, each with its validation, and the report take."""
        epoch = self.length * self.iteration + self.evaluation
        return epochs * epoch + self.evaluation + _LAST_S


def measure_cost(cfg: Config) -> Cost:
    """Train and evaluate a few batches of a config, without changing any file.

    Args:
        cfg: Config of a fine-tuning run.
    """
    device = get_device()
    with (
        warnings.catch_warnings(),
        DefaultScope.overwrite_default_scope(cfg.get("default_scope") or "mmdet"),
    ):
        warnings.simplefilter("ignore")  # the run itself logs them
        model = revert_sync_batchnorm(MODELS.build(cfg.model)).to(device)
        model.train()
        optimizer = FusedAdamW(model.parameters(), lr=0.0)
        with redirect_stdout(StringIO()):  # pycocotools prints
            train, val = (
                Runner.build_dataloader(
                    {**shield_workers(cfg[key], 0), "persistent_workers": False}, seed=0
                )
                for key in ("train_dataloader", "val_dataloader")
            )
        with _autocast(cfg.optim_wrapper, device):
            iterations, loading = _time_batches(train, lambda data: _train(model, optimizer, data))
        model.eval()
        if is_deployable(model) and not deploy_refusal(model):
            model = switch_to_deploy(model)
        with torch.no_grad():
            batches, _ = _time_batches(val, model.test_step, most=3)
    return Cost(
        iteration=statistics.median(iterations),
        evaluation=statistics.median(batches) * len(val),
        loading=statistics.median(loading),
        length=len(train),
        num_bytes=_peak_bytes(device),
    )


def _time_batches(loader: Any, call: Any, most: int = _MOST) -> tuple[list[float], list[float]]:
    """Time batches and loading them; the first one, which warms up, only if there are no others."""
    seconds, loading, batches = [], [], iter(loader)
    bar = tqdm(total=min(most, len(loader)), desc="Timing", unit="it", leave=False, disable=None)
    begin = last = time.perf_counter()  # finer than monotonic on Windows
    with bar:
        for data in batches:
            loading.append(time.perf_counter() - last)
            call(data)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            now = time.perf_counter()
            seconds.append(now - last)
            last = now
            bar.update()
            has_enough = now - begin > _ENOUGH_S
            if has_enough or len(seconds) >= most:
                break
    return seconds[1:] or seconds, loading[1:] or loading


def _train(model: Any, optimizer: torch.optim.Optimizer, data: dict) -> None:
    losses = model(**model.data_preprocessor(data, training=True), mode="loss")
    optimizer.zero_grad()
    model.parse_losses(losses)[0].backward()
    optimizer.step()


def _autocast(wrapper: ConfigDict, device: str) -> Any:
    """Return the context of the config's mixed precision."""
    kinds = {"AmpOptimWrapper": wrapper.get("dtype", "float16"), "Bf16OptimWrapper": "bfloat16"}
    dtype = kinds.get(type_name(wrapper))
    if dtype is None:
        return nullcontext()
    return torch.autocast(device.partition(":")[0], getattr(torch, dtype))


def _peak_bytes(device: str) -> Optional[int]:
    if device != "cpu":
        return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    unit = 1 if os.uname().sysname == "Darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def fit_workers(cfg: Config, cost: Cost) -> None:
    """Load images in the training process itself if that takes little of its time.

    Workers would take turns with the threads that compute: on two cores, each iteration takes a
    fifth longer.

    Args:
        cfg: Config of a fine-tuning run, changed in place.
        cost: What its iterations take.
    """
    if get_device() == "cpu" and cost.loading <= _LOADING_SHARE * cost.iteration:
        for key in ("train_dataloader", "val_dataloader", "test_dataloader"):
            cfg[key].update(num_workers=0, persistent_workers=False)


def fit_length(cfg: Config, cost: Cost, seconds: Optional[float]) -> str:
    """Set how often a run is validated, and when it ends.

    Args:
        cfg: Config of a fine-tuning run, changed in place.
        cost: What its iterations and validations take.
        seconds: Time left for the whole command; None keeps the number of epochs.

    Returns:
        A sentence about the time and memory.
    """
    loop = cfg.train_cfg
    epochs = loop.max_epochs
    if seconds is not None:
        limit = seconds - cost.evaluation - _LAST_S
        least = cost.iteration + cost.evaluation
        if limit < least:
            missing = math.ceil((least - limit) / 60)
            raise UserError(
                f"--minutes: the time left, {max(0, round(seconds))} s, isn't enough for a batch "
                f"and two validations of {cost.evaluation:.0f} s; add at least {missing} to "
                "--minutes, or validate on fewer images"
            )
        epoch = cost.length * cost.iteration
        share = cost.evaluation / cost.val_interval
        epochs = max(1, round(limit / (epoch + share)))
        loop.max_epochs = _MANY * epochs  # the hook ends the training
        interval = max(cost.val_interval, math.ceil(epochs / _MOST_VALIDATIONS))
        loop.val_interval = min(interval, epochs)
        cfg.default_hooks.checkpoint.interval = loop.val_interval
        for scheduler in cfg.param_scheduler:
            scheduler.warm_up = min(scheduler.warm_up, epochs * cost.length // 10)
        cfg.default_hooks.time_limit = ConfigDict(
            type="TimeLimitHook",
            seconds=limit,
            validation_seconds=cost.evaluation,
            iterations=epochs * cost.length,
        )
        set_averaging(cfg, epochs * cost.length)
    needed = cost.seconds(epochs) if seconds is None else seconds
    memory = "" if cost.num_bytes is None else f" and {cost.num_bytes / 1e9:.1f} GB"
    cores = torch.get_num_threads()
    where = "a GPU" if get_device() != "cpu" else f"{cores} core{'s' * (cores != 1)}"
    return (
        f"Training takes about {_duration(needed)}{memory} on "
        f"{where}: {epochs} {'epoch' if epochs == 1 else 'epochs'} of {cost.length} iterations, "
        f"{cost.iteration:.2f} s each"
    )


def _duration(seconds: float) -> str:
    minutes, hours = math.ceil(seconds / 60), round(seconds / 3600)
    if minutes >= 120:
        return f"{hours} hours"
    return f"{minutes} {'minute' if minutes == 1 else 'minutes'}"


def extend(cfg: Config, epochs: Optional[int], minutes: Optional[float]) -> None:
    """Make a run longer.

    Args:
        cfg: Config of a fine-tuning run, changed in place.
        epochs: Number of epochs in all, if it is given.
        minutes: Minutes more, if they are given.

    Raises:
        UserError: The run has no time to add to.
    """
    limit = cfg.default_hooks.get("time_limit")
    if epochs is not None:
        cfg.default_hooks.pop("time_limit", None)
        cfg.train_cfg.max_epochs = epochs
        cfg.finetune["epochs"] = epochs
    elif minutes is not None and limit is None:
        raise UserError(
            f"--minutes {minutes:g}: the length of this run is set in epochs "
            f"({cfg.train_cfg.max_epochs}); use --epochs"
        )
    elif minutes is not None:
        limit.iterations = None
        limit.seconds += 60 * minutes
