"""Dataloader workers that leave signals to their parent process.

Ctrl-C and launchers also signal the workers, which would otherwise print tracebacks or exit while
training still needs data.
"""

import copy
import os
import signal
import threading
from functools import partial
from typing import Any, Callable, Optional

from mmengine.dataset import worker_init_fn as seed_worker
from mmengine.registry import FUNCTIONS
from torch.utils.data import get_worker_info


def shield_workers(dataloader: Any, seed: Optional[int]) -> Any:
    """Return a dataloader's config with `init_shielded_worker` as `worker_init_fn`.

    Args:
        dataloader: The config, or a built dataloader, which is returned unchanged.
        seed: Base seed for MMEngine's seeding; None keeps PyTorch's seeds.
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


@FUNCTIONS.register_module()
def init_shielded_worker(
    worker_id: int,
    seed: Optional[int] = None,
    init: Optional[dict] = None,
    disable_subprocess_warning: bool = False,
) -> None:
    """Initialise a dataloader worker that ignores signals to its process group.

    Args:
        worker_id: Index of the worker, from 0.
        seed: As for `shield_workers`.
        init: Config of another `worker_init_fn`, which is called instead of this seeding.
        disable_subprocess_warning: Silence warnings in all workers except the first.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_exit_with_parent, daemon=True).start()
    if init is not None:
        _build(**init)(worker_id)
    elif seed is not None:
        workers, rank = get_worker_info().num_workers, int(os.environ.get("RANK", 0))
        seed_worker(worker_id, workers, rank, seed, disable_subprocess_warning)


def _build(type: Any, **options: Any) -> Callable[[int], None]:
    return partial(FUNCTIONS.get(type) if isinstance(type, str) else type, **options)


def _exit_with_parent() -> None:
    """Exit on a SIGTERM from the parent process, which then waits for this process."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
