"""Finds the splits and classes of a classification dataset, and checks its images."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from torch.utils.data import Dataset
from tqdm import tqdm

from ..checks.finding import and_more
from ..datasets.classification import EXTENSIONS, open_images, read_image
from ..errors import UserError

_TRAIN = ("train", "training")
_VAL = ("val", "validation", "valid", "test")
_LAYOUT = "expected the layout of ImageNet: DATA/train/CLASS/*.jpg and DATA/val/CLASS/*.jpg"
_READERS = ("torch", "hfds", "tfds", "wds")


@dataclass(frozen=True)
class Split:
    """One part of a dataset.

    Attributes:
        root: Its folder, or that of the whole dataset for one of timm's readers.
        name: Its name.
        counts: Number of images of each class, in the order of the classes.
    """

    root: str
    name: str
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """Number of images."""
        return sum(self.counts)


@dataclass(frozen=True)
class ClassificationData:
    """A dataset to train classifiers on.

    Attributes:
        train: Training images.
        val: Validation images.
        classes: Class names, in the order of their numbers.
        reader: Name of the dataset for timm's `create_dataset`; '' for an image folder.
    """

    train: Split
    val: Split
    classes: tuple[str, ...]
    reader: str = ""


def read_data(
    data: str,
    reader: str = "",
    splits: Optional[tuple[str, str]] = None,
    evaluating: bool = False,
) -> tuple[ClassificationData, list[str]]:
    """Read which images and classes a dataset has.

    Args:
        data: Folder of the dataset.
        reader: As in `ClassificationData`.
        splits: Names of the training and the validation split; the default is `train`, and `val`,
            `validation`, `valid` or `test`.
        evaluating: Whether an image folder without a training split will do; the classes are then
            those of the validation split, which also stands in for it.

    Returns:
        The `ClassificationData`, and sentences about what is odd in it.

    Raises:
        UserError: There is no such dataset, or no network could learn its classes.
    """
    root = Path(data).expanduser()
    if not reader and not root.is_dir():
        raise UserError(f"dataset {data}: is no folder; {_LAYOUT}")
    if reader and reader.partition("/")[0].lower() not in _READERS:
        raise UserError(
            f"--reader {reader}: expected one of timm's, {', '.join(f'{r}/NAME' for r in _READERS)}"
        )
    names = splits or (("train", "val") if reader else _find_splits(root, evaluating))
    if splits and names[0] == names[1]:
        raise UserError(
            f"--splits {' '.join(names)}: expected two; the second one is for validation"
        )
    roots = [str((root if reader else root / name).resolve()) for name in names]
    opened = [open_images(where, name, reader) for where, name in zip(roots, names)]
    remarks = [] if reader else [text for where in roots for text in _left_out(Path(where))]
    found = [_classes(images) for images in opened]
    classes = found[0]
    if len(classes) < 2:
        raise UserError(
            f"dataset {data}: its training images have {len(classes)} class"
            f"{''.join(f', {name!r}' for name in classes)}; expected at least two; {_LAYOUT}"
        )
    unknown = [name for name in found[1] if name not in classes]
    if unknown:
        raise UserError(
            f"dataset {data}: class {and_more(repr(unknown[0]), len(unknown))} is in {names[1]} "
            f"but not in {names[0]}, so it can't be learned; add training images, or remove it"
        )
    counts = [_count(images, where, classes) for images, where in zip(opened, found)]
    train, val = (Split(*each) for each in zip(roots, names, counts))
    missing = [name for name, count in zip(classes, val.counts) if not count]
    if missing:
        remarks.append(
            f"class {and_more(repr(missing[0]), len(missing))} is in {names[0]} but not in "
            f"{names[1]}; its accuracy is unknown"
        )
    return ClassificationData(train, val, classes, reader), remarks


def _find_splits(root: Path, evaluating: bool) -> tuple[str, str]:
    found = []
    for names in ((*_TRAIN, *_VAL) if evaluating else _TRAIN, _VAL):
        name = next((name for name in names if (root / name).is_dir()), None)
        if name is None:
            raise UserError(f"dataset {root}: has no folder {' or '.join(names)}; {_LAYOUT}")
        found.append(name)
    return found[0], found[1]


def _left_out(root: Path) -> list[str]:
    """Return sentences about files of a split that are not used.

    Raises:
        UserError: An image isn't in the folder of a class, or a class has no images.
    """
    others, empty = [], []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        if folder.name.startswith("."):
            raise UserError(f"dataset: {folder} would be a class; remove it")
        files = sorted(folder.iterdir())
        deeper = [path for path in files if path.is_dir()]
        if deeper:
            raise UserError(f"dataset: {deeper[0]} is a folder within that of a class; {_LAYOUT}")
        images = [path for path in files if path.suffix.lower() in EXTENSIONS]
        others += [path for path in files if path not in set(images)]
        empty += [] if images else [folder]
    outside = [path for path in root.iterdir() if path.suffix.lower() in EXTENSIONS]
    if outside:
        raise UserError(
            f"dataset: {and_more(str(outside[0]), len(outside))} is not in the folder of a class; "
            f"{_LAYOUT}"
        )
    if empty:
        raise UserError(
            f"dataset: {and_more(str(empty[0]), len(empty))} has no images "
            f"({', '.join(EXTENSIONS)}); add some, or remove the folder"
        )
    if not others:
        return []
    return [f"{len(others)} files are not used: {and_more(str(others[0]), len(others))}"]


def _classes(images: Dataset) -> tuple[str, ...]:
    reader = getattr(images, "reader", images)
    numbers = getattr(reader, "class_to_idx", None)
    if numbers is None:
        names = getattr(images, "classes", None)
        if names is None:
            raise UserError("dataset: its reader doesn't tell the classes; use an image folder")
        return tuple(map(str, names))
    return tuple(sorted(map(str, numbers), key=lambda name: numbers[name]))


def _count(images: Dataset, found: tuple[str, ...], classes: tuple[str, ...]) -> tuple[int, ...]:
    reader = getattr(images, "reader", None)
    if reader is None:
        targets = getattr(images, "targets", None)
        targets = [target for _, target in images] if targets is None else targets
    else:
        targets = [target for _, target in reader.samples]
    counts = Counter(found[int(target)] for target in targets)
    return tuple(counts[name] for name in classes)


def unreadable(data: ClassificationData) -> list[str]:
    """Decode every image, and return what is wrong with those that can't be read."""
    problems: list[str] = []
    for split in (data.train, data.val):
        images = open_images(split.root, split.name, data.reader)
        problems += _problems(images, split.name)
    return problems


def _problems(images: Dataset, name: str) -> Iterator[str]:
    def read(index: int) -> str:
        try:
            read_image(images, index)
        except UserError as error:
            return str(error)
        return ""

    bar = tqdm(range(len(images)), desc=f"Reading {name}", unit="img", disable=None)
    with bar, ThreadPoolExecutor() as pool:
        yield from filter(None, pool.map(read, bar))
