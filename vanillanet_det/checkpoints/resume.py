"""Finds the checkpoint to resume from."""

import re
from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import Any, Optional

from torch import Tensor

from ..errors import UserError
from .reading import PathLike, read_ahead, read_checkpoint

INTERRUPTED = "interrupted.pth"  # of a training that a signal stopped
LAST = "last_checkpoint"  # where MMEngine writes the path of the newest one


def find_resume(work_dir: PathLike) -> Optional[Path]:
    """Find the newest checkpoint in a folder that can be read.

    Unreadable ones, such as a file that a full disk truncated, are named in a warning.

    Args:
        work_dir: Folder with `epoch_*.pth`, `iter_*.pth` or `interrupted.pth`, or with
            `last_checkpoint`, which names one of any name in any folder.

    Returns:
        The checkpoint to resume from; None if there is none at all.

    Raises:
        UserError: There are checkpoints, and none can be read; or there is none, and
            `last_checkpoint` names one.
    """
    problems = []
    for path in _newest_first(work_dir):
        try:
            read_ahead(path)
        except UserError as error:
            problems.append(str(error))
            continue
        for problem in problems:
            _warn(f"{problem}; resuming from {path} instead")
        return path
    if problems:
        raise UserError("; ".join(problems) + "; there is none before to resume from")
    if (named := _named_last(work_dir)) is not None:
        raise UserError(
            f"{Path(work_dir, LAST)}: names {named}, which is not there, and there is no other "
            "checkpoint in the folder; name the one to resume from (--resume FILE), or remove "
            f"{LAST} to start from scratch"
        )
    return None


def find_finite(work_dir: PathLike) -> Optional[Path]:
    """Find the newest checkpoint in a folder that can be read and holds only finite numbers.

    Args:
        work_dir: As for `find_resume`.

    Returns:
        The checkpoint, or None.
    """
    for path in _newest_first(work_dir):
        try:
            checkpoint = read_checkpoint(path)
        except UserError:
            continue
        if all(tensor.isfinite().all() for tensor in _tensors(checkpoint)):
            return path
    return None


def _warn(message: str) -> None:
    from mmengine.logging import print_log  # whoever resumes a training has MMEngine

    print_log(message, "current", level=30)


def _newest_first(work_dir: PathLike) -> list[Path]:
    named: dict[Path, float] = {
        path: int(match.group(1))
        for path in Path(work_dir).glob("*.pth")
        if (match := re.fullmatch(r"(?:epoch|iter)_(\d+)\.pth", path.name))
    }
    if (interrupted := Path(work_dir, INTERRUPTED)).is_file():
        named[interrupted] = inf  # the next checkpoint removes it
    last = _named_last(work_dir)
    # In a copied folder it names the original's; the copy is beside it.
    if last is not None and last.is_file() and not Path(work_dir, last.name).is_file():
        named[last] = -1
    # By time first: a folder may hold checkpoints by epoch and by iteration.
    return sorted(named, key=lambda p: (p.stat().st_mtime_ns, named[p]), reverse=True)


def _named_last(work_dir: PathLike) -> Optional[Path]:
    path = Path(work_dir, LAST)
    text = path.read_text(errors="replace").strip() if path.is_file() else ""
    return Path(text) if text else None


def _tensors(node: Any) -> Iterator[Tensor]:
    if isinstance(node, Tensor):
        yield node
    elif isinstance(node, (dict, list, tuple)):
        for child in node.values() if isinstance(node, dict) else node:
            yield from _tensors(child)
