"""Dataloader workers that leave signals to their parent process.

Ctrl-C and launchers also signal the workers, which would otherwise print tracebacks or exit while
training still needs data.
"""

import copy
import os
import signal
import threading
from functools import partial
from typing import Any, Callable, Optional, Union

from mmengine.dataset import worker_init_fn as seed_worker
from mmengine.registry import FUNCTIONS
from torch.utils.data import DataLoader, get_worker_info


def shield_workers(dataloader: Any, seed: Optional[int]) -> Any:
    """Return a dataloader's config with `init_shielded_worker` as `worker_init_fn`.

    Args:
        dataloader: The config, or a built dataloader, which is returned unchanged.
        seed: Base seed for MMEngine's seeding; None for PyTorch's seed.
    """
    if not isinstance(dataloader, dict):
        return dataloader
    cfg, name = copy.copy(dataloader), init_shielded_worker.__name__
    init = cfg.get("worker_init_fn")
    if init is None or init["type"] != name:
        cfg["worker_init_fn"] = dict(type=name, seed=seed, init=init)
        # MMEngine removes this key from the config only with its default worker_init_fn.
        if "disable_subprocess_warning" in cfg:
            quiet = cfg.pop("disable_subprocess_warning")
            cfg["worker_init_fn"]["disable_subprocess_warning"] = quiet
    return cfg


def shield_built(dataloader: DataLoader) -> None:
    """Shield the workers that a built dataloader starts from now on."""
    init = dataloader.worker_init_fn
    if getattr(init, "func", None) is not init_shielded_worker:
        dataloader.worker_init_fn = partial(init_shielded_worker, init=init)


def stop_workers(dataloader: DataLoader) -> None:
    """End the persistent workers of a dataloader at once.

    If they end when the garbage collector finds the dataloader, PyTorch may wait 5 s for each: the
    pipe that tells a worker to end is gone already.
    """
    dataloader._iterator = None


@FUNCTIONS.register_module()
def init_shielded_worker(
    worker_id: int,
    seed: Optional[int] = None,
    init: Union[dict, Callable[[int], None], None] = None,
    disable_subprocess_warning: bool = False,
) -> None:
    """Initialise a dataloader worker that ignores signals to its process group.

    Args:
        worker_id: Index of the worker, from 0.
        seed: As for `shield_workers`.
        init: Another `worker_init_fn`, or its config, which is called instead of this seeding.
        disable_subprocess_warning: Silence warnings in all workers except the first.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_exit_with_parent, daemon=True).start()
    if init is not None:
        (_build(**init) if isinstance(init, dict) else init)(worker_id)
        return
    info = get_worker_info()
    if seed is None:
        seed = (info.seed - worker_id) % 2**31  # PyTorch's own, which is the same in all ranks
    rank = int(os.environ.get("RANK", 0))
    seed_worker(worker_id, info.num_workers, rank, seed, disable_subprocess_warning)


def _build(type: Any, **options: Any) -> Callable[[int], None]:
    return partial(FUNCTIONS.get(type) if isinstance(type, str) else type, **options)


def _exit_with_parent() -> None:
    """Exit on a SIGTERM from the parent process, which then waits for this process."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
