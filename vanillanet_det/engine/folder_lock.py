"""A lock on the folder of a run, so that two runs don't write the same files."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Optional

from filelock import FileLock, Timeout

from ..errors import UserError

# The workers of a run that was killed hold its lock until they notice that it is gone.
_WAIT_S = 10


@contextmanager
def hold_folder(folder: Optional[Path]) -> Iterator[None]:
    """Hold the lock of a folder, the file `.lock` in it, within a `with` block.

    The system releases it when the process ends, also if it is killed. On a file system without
    locks, nothing is held.

    Args:
        folder: The folder, created if needed; None for a rank that isn't the first.

    Raises:
        UserError: Another process holds the lock.
    """
    if folder is None:
        yield
        return
    lock = FileLock(folder / ".lock")
    with suppress(OSError, NotImplementedError):  # not writable, which is reported elsewhere
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=_WAIT_S)
        except Timeout as error:
            raise UserError(
                f"work dir {folder}: another run is writing to it; wait until it has ended, or "
                "choose another folder with --work-dir"
            ) from error
    try:
        yield
    finally:
        lock.release()
