"""The checkpoint to go on from."""

import re
from pathlib import Path
from typing import Optional

from mmengine.logging import print_log

from ..errors import UserError
from .reading import PathLike, read_checkpoint


def find_resume(work_dir: PathLike) -> Optional[Path]:
    """Find the newest checkpoint in a folder that can be read.

    Unreadable ones, such as a file truncated when a disk was full, are named in a warning.

    Args:
        work_dir: Folder with `epoch_*.pth` or `iter_*.pth`.

    Returns:
        The checkpoint to resume from, or None if there is none at all.

    Raises:
        UserError: There are checkpoints, and none can be read.
    """
    named = {
        path: int(match.group(1))
        for path in Path(work_dir).glob("*.pth")
        if (match := re.fullmatch(r"(?:epoch|iter)_(\d+)\.pth", path.name))
    }
    problems = []
    # By time first: a folder may hold checkpoints by epoch and by iteration.
    for path in sorted(named, key=lambda p: (p.stat().st_mtime_ns, named[p]), reverse=True):
        try:
            read_checkpoint(path)
        except UserError as error:
            problems.append(str(error))
            continue
        for problem in problems:
            print_log(f"{problem}; going on from {path} instead", "current", level=30)
        return path
    if problems:
        raise UserError("; ".join(problems) + "; there is none before to resume from")
    return None
