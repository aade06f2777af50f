"""Formats whose annotation files contain many images each."""

import posixpath
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Optional

from ...errors import UserError, some
from .files import FileTree, composed, split_named, split_of_folders, stem
from .raw_dataset import DatasetBuilder, Object, RawDataset, build_dataset, measure
from .remarks import Remarks

_NO_IMAGE = "Annotated images that are missing"
_TEST = "Images of the test split, skipped"
_NOT_ANNOTATED = "Images without an annotation, skipped"
_NOT_LISTED = "Images that no annotation file lists, skipped"
_MOVED = "Images found in another folder than the annotations say"
_LOOKED_AT = 50  # files of each folder, when detecting a format


class Entry(NamedTuple):
    """An image in an annotation file.

    Attributes:
        image: Name, path or URL path of the image.
        shapes: What is annotated in it, as the file contains it; None if nobody has annotated it.
        size: Width and height of the image; None to measure the image.
        split: Name of the subset that the file contains, if any.
        place: Where the entry is, for messages, such as `task 3`.
        has_folder: Whether the folders in `image` are those of the dataset.
    """

    image: str
    shapes: Optional[Sequence[Any]]
    size: Optional[tuple[int, int]] = None
    split: Optional[str] = None
    place: str = ""
    has_folder: bool = True


Size = tuple[int, int]  # width and height


@dataclass(frozen=True)
class ListFormat:
    """A format whose annotation files contain many images each.

    Attributes:
        NAME: Name of the format.
        LAYOUT: Description for messages.
        suffix: Extension of the annotation files.
        is_annotation: Function that returns whether a file looks like an annotation file.
        entries: Function that reads the entries of a file. It raises `ValueError` for mistakes.
        objects: Function that converts the shapes of an image to objects, given the size of the
            image and the image's name for remarks. It raises `ValueError` for mistakes.
        spell: Function that maps names of image files which count as equal to the same name.
    """

    NAME: str
    LAYOUT: str
    suffix: str
    is_annotation: Callable[[Path], bool]
    entries: Callable[[Path, Remarks], Iterable[Entry]]
    objects: Callable[[Sequence[Any], Size, str, Remarks], Iterable[Object]]
    spell: Callable[[str], str] = str

    def detect(self, tree: FileTree) -> bool:
        """Return whether a folder contains a dataset in this format."""
        seen: Counter = Counter()
        for file in tree.having(self.suffix):
            folder = posixpath.dirname(file)
            seen[folder] += 1
            if seen[folder] <= _LOOKED_AT and self.is_annotation(tree.root / file):
                return True
        return False

    def read(self, tree: FileTree, remarks: Remarks) -> RawDataset:
        """Read a folder that contains a dataset in this format.

        Raises:
            UserError: See `read_files`.
        """
        files = []
        for file in tree.having(self.suffix):
            if self.is_annotation(tree.root / file):
                files.append(file)
            else:
                remarks.add(f"Files that aren't recognized as {self.NAME}, skipped", file)
        return self.read_files(tree, files, remarks)

    def read_files(self, tree: FileTree, files: Sequence[str], remarks: Remarks) -> RawDataset:
        """Read annotation files.

        The split of an image is that of its entry, or else the one in the names of the annotation
        file and its folders, or else the one in the names of the image's folders.

        Args:
            tree: Files of the dataset.
            files: The annotation files, relative to the tree's root.
            remarks: What was skipped or changed; updated in place.

        Raises:
            UserError: An annotation file is invalid, or images are missing or annotated twice; the
                message identifies the file and the entry.
        """
        images, used, not_annotated = _Images(tree, self.spell), {}, set()
        parts = {"train": DatasetBuilder(), "val": DatasetBuilder()}
        for file in files:
            named = split_named(stem(file)) if len(files) > 1 else None
            for entry in _named_errors(tree.root / file, self.entries(tree.root / file, remarks)):
                where = f"{tree.root / file}: {entry.place or entry.image}"
                split = (
                    (entry.split and split_named(entry.split)) or named or split_of_folders(file)
                )
                image = images.find(entry, file, split, remarks, where)
                if entry.shapes is None:
                    not_annotated.add(image)
                    remarks.skip(_NOT_ANNOTATED, entry.image, images=1)
                    continue
                if image in used:
                    raise UserError(
                        f"{where}: annotates {image}, as does {used[image]}; remove either one"
                    )
                split = split or split_of_folders(image or entry.image) or "train"
                if image is not None:
                    used[image] = where
                if split == "test":
                    remarks.skip(_TEST, images=1)
                elif image is None:
                    remarks.missing(_NO_IMAGE, entry.image, images=1, objects=len(entry.shapes))
                else:
                    size = entry.size or measure(tree.root / image, remarks, len(entry.shapes))
                    if size is None:
                        continue
                    parts[split].add_image(image, size)
                    objects = self.objects(entry.shapes, size, image, remarks)
                    for found in _named_errors(where, objects):
                        parts[split].add_object(found)
        for image in sorted(images.all.difference(used, not_annotated)):
            remarks.skip(_NOT_LISTED, image, images=1)
        if not parts["train"].images and used:
            remarks.stop_at_missing(f"{self.NAME} dataset in {tree.root}")
            raise UserError(
                f"{tree.root}: all annotated images are for validation or test; put those for "
                "training and their annotations into a folder named train"
            )
        if not parts["val"].images:
            del parts["val"]
        return build_dataset(self.NAME, tree.root, parts, remarks)


def _named_errors(where: object, items: Iterable[Any]) -> Iterator[Any]:
    try:
        yield from items
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{where}: {error}; correct the entry, or export the file again") from error


class _Images:
    """An index to look up images by the names in annotation files."""

    def __init__(self, tree: FileTree, spell: Callable[[str], str]) -> None:
        self.all = set(tree.images())
        self._spell = spell
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for file in sorted(self.all):
            self._by_name[spell(posixpath.basename(composed(file)))].append(file)

    def find(
        self, entry: Entry, annotation: str, split: Optional[str], remarks: Remarks, where: str
    ) -> Optional[str]:
        """Find the image that fits best: with the stated name, in folders of the stated names.

        Paths are relative to the annotation file, or to its `images` or `images/<subset>`.

        Raises:
            UserError: Several images fit equally well.
        """
        folders = composed(annotation).split("/")[:-1]
        parts = composed(entry.image).replace("\\", "/").split("/")
        places = ("", f"images/{entry.split or ''}", "images")
        stated = [posixpath.normpath(posixpath.join(*folders, at, *parts)) for at in places]
        found = self._by_name.get(self._spell(parts[-1]), [])

        def fit(file: str) -> tuple[int, ...]:
            name = composed(file)
            own = name.split("/")
            return (
                -stated.index(name) if name in stated else -len(stated),
                own[-1] == parts[-1],
                _shared(own[-2::-1], parts[-2::-1]),
                _shared(own[:-1], folders),
                bool(split) and split_of_folders(file) == split,
            )

        best = max(map(fit, found), default=None)
        found = [file for file in found if fit(file) == best]
        if len(found) > 1:
            raise UserError(
                f"{where}: {entry.image!r} could be {some(found, 2)}; keep only one of these "
                "images, or rename it"
            )
        if not found:
            return None
        if entry.has_folder and len(parts) > 1 and composed(found[0]) not in stated and not best[2]:
            remarks.add(_MOVED, found[0])
        return found[0]


def _shared(first: Sequence[str], second: Sequence[str]) -> int:
    """Count the leading elements that two sequences share."""
    count = 0
    for a, b in zip(first, second):
        if a != b:
            break
        count += 1
    return count


def numbered(kind: str, items: Sequence[Any], read: Callable[[Any], Any]) -> Iterator[Any]:
    """Read items, leave out those that are None, and number errors.

    Args:
        kind: What the items are, such as `shape`.
        items: The items.
        read: Function that reads an item; it raises `ValueError` for mistakes.
    """
    for index, item in enumerate(items, 1):
        try:
            found = read(item)
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{kind} {index}: {error}") from error
        if found is not None:
            yield found
