"""Creates the folders of embedded datasets on first use."""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Callable

from filelock import FileLock

from ..errors import UserError

Use = Callable[[Path], None]


def ensure_folder(root: Path, write: Use, check: Use, megabytes: int, other: str) -> Path:
    """Create a folder with files unless it exists.

    The files are written to a temporary folder, which is renamed once it is complete, so a killed
    run doesn't leave an incomplete folder. If several processes need it, one of them creates it
    while the others wait.

    Args:
        root: The folder.
        write: Function that writes the files into a folder.
        check: Function that raises a `UserError` if a folder has other files, or incomplete ones.
        megabytes: Space that the files need.
        other: How to choose another folder, for errors.

    Returns:
        `root`.

    Raises:
        UserError: As for `check`, or the folder can't be written.
    """
    try:
        if not _is_made(root):
            target = root.resolve()  # if `root` is a symbolic link, the link is kept
            target.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(_lock_file(target)):
                if not _is_made(root):
                    _make(target, write)
    except OSError as error:
        raise UserError(_cannot_write(root, error, megabytes, other)) from error
    check(root)
    return root


def _is_made(root: Path) -> bool:
    return root.exists() and not (root.is_dir() and not any(root.iterdir()))


def _lock_file(target: Path) -> Path:
    # The lock file isn't kept next to the data: it can't be removed safely, and some network file
    # systems don't support locks.
    name = hashlib.sha256(f"{os.geteuid()} {target}".encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"vanillanet_det-{name}.lock"


def _make(target: Path, write: Use) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        write(temporary)
        temporary.chmod(0o755)
        os.replace(temporary, target)
    except OSError:
        # If several nodes share a file system, the first one to finish wins.
        if not _is_made(target):
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _cannot_write(root: Path, error: OSError, megabytes: int, other: str) -> str:
    return (
        f"dataset {root}: can't be written ({error.strerror or error}), and no files were kept; "
        f"it needs about {megabytes} MB: free some space, or {other}"
    )
