"""Pascal VOC format: reads the lists of images of each split, in `ImageSets/Main/`."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Optional

from ...errors import UserError, some
from .files import FileTree, read_text, split_named, stem
from .remarks import Remarks

SETS = "ImageSets/Main/"
_FILES = "Annotations/"
_SPLITS = ("train", "val", "test")
_UNANNOTATED = "Images of the test split without an annotation file, skipped"
_NO_SPLIT = f"Lists in {SETS} whose names aren't those of a split, not used"
_LOST = "Listed images without an annotation file"


def read_lists(tree: FileTree, files: Iterable[str], remarks: Remarks) -> Optional[dict[str, str]]:
    """Return the split of each annotation file that is listed; None if nothing is listed.

    Args:
        tree: Files of the dataset.
        files: The annotation files.
        remarks: What was skipped; updated in place.

    Raises:
        UserError: An entry could be several files, or is in lists of different splits.
    """
    chosen: dict[str, tuple[str, str]] = {}
    is_empty = True
    for is_rest, split, list_file in _lists(tree, remarks):
        prefix, _, name = list_file.rpartition(SETS)
        named = _AnnotationIndex(files, prefix)
        for line, entry in _entries(tree.root / list_file):
            is_empty = False
            where = f"{tree.root / list_file}:{line}"
            found = named.find(entry)
            if not found and split == "test":
                remarks.skip(_UNANNOTATED, entry, images=1)
            elif not found:
                remarks.missing(_LOST, f"{name}:{line}: {entry}", images=1)
            if not found:
                continue
            if len(found) > 1:
                raise UserError(
                    f"{where}: {entry} could be {some(found, 2)}; write its path relative to "
                    f"{_FILES} without the extension, or keep only one file with this name"
                )
            _, before = chosen.setdefault(found[0], (split, list_file))
            if not is_rest and before != list_file:
                raise UserError(f"{where}: {entry} is also in {before}; list it only once")
    return None if is_empty else {file: split for file, (split, _) in chosen.items()}


def _lists(tree: FileTree, remarks: Remarks) -> list[tuple[bool, str, str]]:
    """List each split's files, after whether only what no other list names is taken from it."""
    lists = []
    for file in tree.having(".txt"):
        _, is_list, name = file.rpartition(SETS)
        split = split_named(stem(name), alone=True)
        if is_list and split:
            lists.append(("trainval" in name.lower(), split, file))
        elif is_list:
            remarks.add(_NO_SPLIT, name)
    return sorted(lists, key=lambda found: (found[0], _SPLITS.index(found[1]), found[2]))


def _entries(path: Path) -> Iterator[tuple[int, str]]:
    for line, text in enumerate(read_text(path).split("\n"), 1):
        entry = text.strip()
        if entry:
            yield line, entry


class _AnnotationIndex:
    """An index to look up annotation files by the names that lists use."""

    def __init__(self, files: Iterable[str], folder: str) -> None:
        self._by_path: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for file in files:
            if file.startswith(folder):
                below = file[len(folder) :].partition("/")[2] or file[len(folder) :]
                self._by_path[below.rpartition(".")[0]].append(file)
                self._by_stem[stem(file)].append(file)
        self._usual = folder + _FILES

    def find(self, entry: str) -> list[str]:
        """Find the files that an entry of a list could refer to, by path or else by name."""
        # In some lists, lines end with 1 or -1; other lists contain image files.
        texts = [guess for text in (entry, entry.split()[0]) for guess in (text, _bare(text))]
        for table, spellings in ((self._by_path, _ends), (self._by_stem, _name)):
            for name in (name for text in texts for name in spellings(text)):
                files = table.get(name, [])
                usual = [file for file in files if file.startswith(self._usual)]
                if files:
                    return usual or files
        return []


def _bare(text: str) -> str:
    """Remove the extension of a path."""
    folder, slash, name = text.rpartition("/")
    return folder + slash + (name.rpartition(".")[0] or name)


def _ends(path: str) -> list[str]:
    """List a path and its suffixes that include a folder: `a/b/c` and `b/c`."""
    parts = path.split("/")
    return ["/".join(parts[start:]) for start in range(max(1, len(parts) - 1))]


def _name(path: str) -> list[str]:
    return [path.rpartition("/")[2]]
