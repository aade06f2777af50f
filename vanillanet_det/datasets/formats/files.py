"""Finds and reads the files of a dataset, and reports files that can't be read."""

import contextlib
import os
import posixpath
import re
import unicodedata
from collections import defaultdict
from pathlib import Path
from typing import Any, Optional

from ...errors import UserError, some
from ...media import IMAGES

_SPLITS = {
    **dict.fromkeys(("train", "training", "trainval"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
# Folders with images of the annotations, which converters write beside the photographs.
_DRAWN = re.compile(r"(?i)visuali[sz]ations?$|^segmentation(class|object)|^masks?$")
_LOOK = 1 << 20  # bytes to search at both ends of a file; embedded images are longer
_LARGEST = 1e100  # so that areas and distances are finite, too


class FileTree:
    """The files in a folder and its subfolders, listed once.

    Hidden files are ignored, and symbolic links to folders are followed.

    Attributes:
        root: Absolute path of the folder.
        files: Sorted paths relative to `root`, separated by `/`.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.abspath(root))
        self.files: list[str] = []
        seen = set()
        for folder, folders, names in os.walk(self.root, followlinks=True):
            real = os.path.realpath(folder)
            if real in seen:  # a link to a folder above
                folders.clear()
                continue
            seen.add(real)
            folders[:] = [name for name in folders if not is_hidden(name)]
            below = Path(folder).relative_to(self.root).as_posix()
            prefix = "" if below == "." else f"{below}/"
            self.files += [prefix + name for name in names if not is_hidden(name)]
        self.files.sort()

    def having(self, *suffixes: str) -> list[str]:
        """List the files that have one of the given lower-case extensions."""
        return [file for file in self.files if file.lower().endswith(suffixes)]

    def images(self) -> list[str]:
        """List the files that have the extension of an image format."""
        return self.having(*IMAGES)


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is ignored."""
    return name.startswith(".") or name == "__MACOSX"


class ImageIndex:
    """An index to look up images by the names that annotations use."""

    def __init__(self, tree: FileTree) -> None:
        self.all = set(tree.images())
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for file in sorted(self.all):
            self._by_stem[stem(composed(file))].append(file)

    def find(self, annotation: str, name: str) -> Optional[str]:
        """Find the image of an annotation file.

        Images with the same stem as the annotation file take precedence over the image name in the
        file. Among several images, the best match is the one in the same folder, then the one at
        the path in the file, then the one whose folders have the same names.

        Args:
            annotation: The annotation file, relative to the tree's root.
            name: The image's name in the annotation file.

        Returns:
            The image, relative to the tree's root; None if no image matches.

        Raises:
            UserError: Several images match equally well.
        """
        name = composed(name).replace("\\", "/")
        base = name.rsplit("/", 1)[-1]
        folders = composed(annotation).split("/")[:-1]
        stated = posixpath.normpath(posixpath.join(*folders, name))

        def fit(file: str) -> tuple[int, ...]:
            file = composed(file)
            others = file.split("/")[:-1]
            shared = len(set(others).intersection(folders))
            is_photo = not any(map(_DRAWN.search, others))
            is_named = posixpath.basename(file) == base
            return others == folders, file == stated, is_photo, shared, is_named

        found = self._by_stem.get(stem(composed(annotation)))
        if not found:
            named = self._by_stem.get(stem(base), [])
            found = [file for file in named if posixpath.basename(composed(file)) == base]
        best = max(map(fit, found), default=None)
        found = [file for file in found if fit(file) == best]
        if len(found) > 1:
            raise UserError(
                f"{annotation}: could belong to {some(found, 2)}; keep only one image with this "
                "name, or move the annotation file next to its image"
            )
        return found[0] if found else None


def stem(file: str) -> str:
    """Return the name of a file without its folder and extension."""
    return file.rsplit("/", 1)[-1].rsplit(".", 1)[0]


def composed(name: str) -> str:
    """Compose the accented letters of a file's name, which Macs take apart, to compare names."""
    return unicodedata.normalize("NFC", name)


def split_named(text: str, alone: bool = False) -> Optional[str]:
    """Return the split that the name of a file or folder contains.

    Args:
        text: The name, such as `instances_train2017`.
        alone: Whether the split must be the only word in the name.

    Returns:
        `train`, `val` or `test`; None if the name contains no split.
    """
    words = re.findall(r"[^\W\d_]+", text.lower())
    if alone and len(words) != 1:
        return None
    return next((_SPLITS[word] for word in words if word in _SPLITS), None)


def split_of_folders(file: str) -> Optional[str]:
    """Return the split that a folder name in a file's relative path contains."""
    splits = (split_named(folder, alone=True) for folder in file.split("/")[:-1])
    return next(filter(None, splits), None)


def holds(path: Path, pattern: bytes) -> bool:
    """Return whether a regular expression matches near the start or the end of a file."""
    try:
        with open(path, "rb") as file:
            if re.search(pattern, file.read(_LOOK)):
                return True
            file.seek(-min(_LOOK, path.stat().st_size), os.SEEK_END)
            return bool(re.search(pattern, file.read()))
    except OSError:  # a broken link; reported when the file is needed
        return False


def read_bytes(path: Path) -> bytes:
    """Read a file.

    Raises:
        UserError: The file can't be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror or error})") from error


def read_text(path: Path) -> str:
    """Read a UTF-8 text file.

    Raises:
        UserError: The file can't be read or isn't UTF-8 text.
    """
    content = read_bytes(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"{path}:{line}: is not UTF-8 text; save the file as UTF-8") from error


def number(value: Any) -> float:
    """Convert a value to a number, which may be written as a string.

    Raises:
        ValueError: The value isn't a finite number.
    """
    original = value
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value)
    if not is_finite(value):
        raise ValueError(f"{original!r} is not a finite number")
    return value


def is_finite(value: Any) -> bool:
    """Return whether a value is a number that can be calculated with."""
    # math.isfinite raises an error for large integers. Comparisons don't, and NaN fails them.
    return type(value) in (int, float) and -_LARGEST <= value <= _LARGEST


def is_remote(path: str) -> bool:
    """Return whether a path refers to remote storage, such as `s3://`."""
    return "://" in path
