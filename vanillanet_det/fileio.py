"""Files that are written completely or not at all, and names in files that are handed on."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, BinaryIO, Union


@contextmanager
def atomic_write(path: Union[str, Path]) -> Iterator[BinaryIO]:
    """Open a file for writing that replaces `path` only once it is complete.

    The data is written to a temporary file in the same folder, which is flushed to disk and then
    renamed. If the process is killed or the disk is full, the previous file is kept.

    Args:
        path: The file to write or replace; its folder must exist.

    Yields:
        A binary file, readable and writable.
    """
    path = Path(path)
    # Use only part of the name: a name of the maximum length leaves no room for a suffix.
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name[:40]}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files private; set the permissions that open() would have set.
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def utf8_name(name: str) -> str:
    """Write out those bytes of a file's name that aren't UTF-8, with backslashes."""
    return name.encode("utf-8", "backslashreplace").decode()


def without_folders(value: Any) -> Any:
    """Replace absolute paths by their last part, so that a file tells nothing about this machine.

    Args:
        value: A text, or nested dicts, lists and tuples of anything. Class names and other
            `metainfo`, which may look like paths, are kept.

    Returns:
        A copy; relative paths and URLs are unchanged.
    """
    if isinstance(value, dict):
        kept = ("classes", "CLASSES", "metainfo")
        return {k: v if k in kept else without_folders(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(without_folders(item) for item in value)
    if isinstance(value, str):
        for kind in (PurePosixPath, PureWindowsPath):
            if kind(value).is_absolute() or value.startswith("~"):
                return kind(value).name or value
    return value
