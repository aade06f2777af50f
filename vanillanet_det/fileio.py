"""Files that are either whole or not there."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Union

from mmengine.fileio import LocalBackend, register_backend

from .errors import UserError


@contextmanager
def atomic_write(path: Union[str, Path]) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its name only once it is whole.

    The bytes go to a temporary file beside it, reach the disk, and are renamed. Killed or
    out of space in between, what stood at `path` before stands there still.

    Args:
        path: The file to write or replace; its folder must exist.

    Yields:
        A binary file, which can be read, too.
    """
    path = Path(path)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files private; give this one what open() would have given it.
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


@register_backend("atomic")
class AtomicBackend(LocalBackend):
    """Local files, written whole or not at all.

    For mmengine's CheckpointHook: `backend_args=dict(backend='atomic')`.
    """

    def put(self, obj: Union[bytes, memoryview], filepath: Union[str, Path]) -> None:
        """Write bytes to a file, and make its folder if there is none.

        Raises:
            UserError: It can't be written; what stood there before stands there still.
        """
        try:
            Path(filepath).parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(filepath) as file:
                file.write(obj)
        except OSError as error:
            raise UserError(
                f"{filepath}: {len(obj):,} bytes can't be written ({error.strerror or error}); "
                "nothing of it was kept and no older file is changed. Make room, or choose "
                "another folder with --work-dir FOLDER"
            ) from error

    def put_text(self, obj: str, filepath: Union[str, Path], encoding: str = "utf-8") -> None:
        """Write text to a file, and make its folder if there is none."""
        self.put(obj.encode(encoding), filepath)
