"""Search for the checkpoint to resume from."""

import re
from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import Any, Optional

from torch import Tensor

from ..errors import UserError
from .reading import PathLike, read_ahead, read_checkpoint

INTERRUPTED = "interrupted.pth"  # of a training run that was stopped by a signal
LAST = "last_checkpoint"  # MMEngine writes the path of the newest checkpoint to it


def find_resume(work_dir: PathLike) -> Optional[Path]:
    """Find the newest readable checkpoint in a folder.

    A warning lists unreadable checkpoints, such as a file that was truncated by a full disk.

    Args:
        work_dir: Folder with `epoch_*.pth`, `iter_*.pth` or `interrupted.pth`, or with
            `last_checkpoint`, which may contain the path of any checkpoint in any folder.

    Returns:
        The checkpoint to resume from; None if there are no checkpoints.

    Raises:
        UserError: There are checkpoints, but none can be read; or the only checkpoint, listed in
            `last_checkpoint`, doesn't exist.
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
        raise UserError("; ".join(problems) + "; there is no earlier checkpoint to resume from")
    if (named := _named_last(work_dir)) is not None:
        raise UserError(
            f"{Path(work_dir, LAST)}: refers to {named}, which doesn't exist, and the folder "
            "contains no other checkpoint; pass the checkpoint to resume from (--resume FILE), or "
            f"remove {LAST} to start from scratch"
        )
    return None


def find_finite(work_dir: PathLike) -> Optional[Path]:
    """Find the newest readable checkpoint in a folder whose numbers are all finite.

    Args:
        work_dir: As for `find_resume`.

    Returns:
        The checkpoint; None if there is none.
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
    from mmengine.logging import print_log  # resuming requires MMEngine anyway

    print_log(message, "current", level=30)


def _newest_first(work_dir: PathLike) -> list[Path]:
    named: dict[Path, float] = {
        path: int(match.group(1))
        for path in Path(work_dir).glob("*.pth")
        if (match := re.fullmatch(r"(?:epoch|iter)_(\d+)\.pth", path.name))
    }
    if (interrupted := Path(work_dir, INTERRUPTED)).is_file():
        named[interrupted] = inf  # it is always the newest: saving a checkpoint removes it
    last = _named_last(work_dir)
    # In a copied folder it refers to the original file; use the copy in this folder instead.
    if last is not None and last.is_file() and not Path(work_dir, last.name).is_file():
        named[last] = -1
    # Sort by time first: a folder may contain checkpoints by epoch and by iteration.
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
