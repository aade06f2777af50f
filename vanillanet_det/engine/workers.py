"""Workers of a dataloader leave signals to the process that they work for.

Ctrl-C, and launchers, send them to the workers, too, which would print tracebacks or leave the
training without data.
"""

import functools
import os
import signal
import threading
from typing import Any, Callable, Optional

from mmengine.runner import Runner
from torch.utils.data import DataLoader


def shield(loader: DataLoader) -> None:
    """Shield the workers that a dataloader starts from now on; a second call does nothing."""
    if not isinstance(loader.worker_init_fn, _Shielded):
        loader.worker_init_fn = _Shielded(loader.worker_init_fn)


def shield_workers(runner: Runner) -> None:
    """Shield the workers of all dataloaders that a runner builds from now on.

    MMEngine's IterBasedTrainLoop starts its workers when it is built, before any hook is called.

    Args:
        runner: The runner, not yet run.
    """
    build = runner.build_dataloader

    @functools.wraps(build)
    def build_shielded(*args: Any, **kwargs: Any) -> DataLoader:
        loader = build(*args, **kwargs)
        shield(loader)
        return loader

    runner.build_dataloader = build_shielded


class _Shielded:
    """What a worker does first."""

    def __init__(self, init_fn: Optional[Callable[[int], None]]) -> None:
        self.init_fn = init_fn

    def __call__(self, worker_id: int) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if hasattr(signal, "sigwaitinfo"):  # not on macOS
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            threading.Thread(target=_obey_parent, daemon=True).start()
        if self.init_fn is not None:
            self.init_fn(worker_id)


def _obey_parent() -> None:
    """End this process at a SIGTERM of the one it works for, which waits for that at its end."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
