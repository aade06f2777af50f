"""Finds files by paths that were written on another machine or by another tool."""

import os
import posixpath
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Optional

_LOOKED_UP = 20  # number of paths that are looked up to find their folder
_FORMS = ("NFC", "NFD")
_OUTSIDE = re.compile(r"/|\.\.|[A-Za-z]:")


class Relocation(NamedTuple):
    """Where the files of a list of paths are.

    Attributes:
        folder: The folder that they are in.
        dropped: Number of leading parts of each path that don't exist in this folder.
    """

    folder: Path
    dropped: int = 0

    def find(self, path: str) -> Optional[Path]:
        """Return the file for a path, which may not exist; None if it isn't in the folder.

        Accented letters may be composed or not, as Macs write them.
        """
        rest = _parts(path)[self.dropped :]
        is_inside = rest and not any(_OUTSIDE.fullmatch(part) for part in rest)
        if not is_inside:
            return None
        name = "/".join(rest)
        if name.isascii():  # most are, and needn't be looked up
            return self.folder / name
        names = (name, *(unicodedata.normalize(form, name) for form in _FORMS))
        there = filter(os.path.exists, map(self.folder.joinpath, names))
        return next(there, self.folder / name)


def relocate(paths: Sequence[str], folders: Iterable[Path]) -> Optional[Relocation]:
    r"""Find the folder in which most of a list of files exist.

    Exporters prefix paths with folders that aren't in the dataset, such as the number of a project
    or the home of the machine it was on. The same number of leading parts is dropped from all
    paths, and different paths must lead to different files.

    Args:
        paths: Paths of files, separated by `/` or `\`; a sample of them is looked up.
        folders: The folders to search, the most likely one first.

    Returns:
        The first of the folders with the most files, dropping as few parts as possible; None if
        no file is in any of them.
    """
    sample = list(dict.fromkeys(paths[:: max(1, len(paths) // _LOOKED_UP)]))
    depth = max((len(_parts(path)) for path in sample), default=0)
    best, most = None, 0
    for dropped in range(depth):
        for folder in dict.fromkeys(folders):
            candidate = Relocation(folder, dropped)
            there = [
                found for found in map(candidate.find, sample) if found and os.path.exists(found)
            ]
            if len(there) > most and len(set(there)) == len(there):
                best, most = candidate, len(there)
        if best:
            break
    return best


def _parts(path: str) -> list[str]:
    path = posixpath.normpath(path.replace("\\", "/"))
    root = ["/"] if path.startswith("/") else []
    return root + [part for part in path.split("/") if part]
