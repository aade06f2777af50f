"""Darknet's format, CVAT's "YOLO 1.1": obj.data names the classes and the lists of images."""

import posixpath
import re
from collections.abc import Iterator, Sequence
from typing import Optional

from ...errors import UserError, some
from .files import FileTree, holds, read_text
from .lookup import relocate
from .raw_dataset import DatasetBuilder, RawDataset, build_dataset, measure
from .remarks import Remarks
from .yolo_classes import ClassLists
from .yolo_labels import count_objects, read_labels

NAME = "Darknet"
LAYOUT = 'Darknet, such as CVAT\'s "YOLO 1.1" (obj.data, obj.names, train.txt, images and labels)'
_LISTS = {"train": "train", "valid": "val", "test": "test"}  # keys of obj.data
_NO_IMAGE = "Listed images that are missing"
_TWICE = "Images listed more than once, but used only once"
_TEST = "Images of the test split, skipped"
_NOT_LISTED = "Images that aren't listed, skipped"
_NO_LABEL = "Images without a label file, treated as images without objects"
_ALONE = "Label files without an image, skipped"


def detect(tree: FileTree) -> bool:
    """Return whether a folder contains a dataset in this format."""
    return bool(_data_files(tree))


def _data_files(tree: FileTree) -> list[str]:
    files = [file for file in tree.having(".data") if file.count("/") < 2]
    return [file for file in files if holds(tree.root / file, rb"(?m)^\s*(train|names)\s*=")]


def read(tree: FileTree, remarks: Remarks) -> RawDataset:
    """Read a folder that contains a Darknet dataset.

    Raises:
        UserError: There are several `.data` files, or a file is missing or invalid; the message
            contains the file and the line.
    """
    files = _data_files(tree)
    if len(files) > 1:
        raise UserError(
            f"{tree.root}: has several .data files of Darknet ({some(files)}); keep one of them"
        )
    return _Folder(tree, files[0], remarks).read()


class _Folder:
    """The files of a dataset, whose paths are often those of another machine."""

    def __init__(self, tree: FileTree, data: str, remarks: Remarks) -> None:
        self._tree, self._remarks, self._files = tree, remarks, set(tree.files)
        self._data = tree.root / data
        self._folders = [tree.root, self._data.parent]
        lines = [line.partition("#")[0] for line in read_text(self._data).split("\n")]
        pairs = [line.partition("=") for line in lines]
        self._options = {key.strip(): value.strip() for key, _, value in pairs if value.strip()}
        self._used: dict[str, str] = {}  # the list of each image
        self._labelled: dict[str, str] = {}  # the image of each label file

    def read(self) -> RawDataset:
        names, parts = self._class_names(), {}
        labels: set[Optional[str]] = set()
        for key, split in _LISTS.items():
            value = self._options.get(key)
            if key != "train" and (not value or (key == "test" and not self._find([value]))):
                continue
            images = list(self._listed(self._named(key)))
            labels |= {self._label(image) for image in images}
            if split == "test":
                for image in images:
                    self._remarks.skip(_TEST, image, images=1)
            elif images or split == "train":
                parts[split] = DatasetBuilder()
                for image in images:
                    self._add(parts[split], image, names)
        for image in sorted(set(self._tree.images()).difference(self._used)):
            labels.add(self._label(image))
            self._remarks.skip(_NOT_LISTED, image, images=1)
        folders = {posixpath.dirname(label) for label in labels if label}
        for file in self._tree.having(".txt"):
            if posixpath.dirname(file) in folders.difference(("",)) and file not in labels:
                count = count_objects(self._tree.root / file)
                self._remarks.skip(_ALONE, file, objects=count)
        return build_dataset(NAME, self._tree.root, parts, self._remarks, names)

    def _class_names(self) -> list[str]:
        path = self._tree.root / self._named("names")
        names = ClassLists([path]).names[path]
        if self._options.get("classes", str(len(names))) != str(len(names)):
            raise UserError(
                f"{self._data}: classes is {self._options['classes']} but {path.name} has "
                f"{len(names)} names; correct either one"
            )
        return names

    def _named(self, key: str) -> str:
        name = self._options.get(key, "")
        found = self._find([name]).get(name)
        if found is None:
            raise UserError(
                f"{self._data}: {key} is {name!r}, which isn't below {self._tree.root}; expected "
                f"a file, such as {key} = {'obj.names' if key == 'names' else f'{key}.txt'}"
            )
        return found

    def _find(self, names: Sequence[str]) -> dict[str, str]:
        """Return the files for paths, relative to the dataset; without those that don't exist."""
        moved = relocate(names, self._folders)
        found = {name: moved.find(name) for name in names} if moved else {}
        files = {
            name: path.relative_to(self._tree.root).as_posix()
            for name, path in found.items()
            if path
        }
        return {name: file for name, file in files.items() if file in self._files}

    def _listed(self, file: str) -> Iterator[str]:
        lines = [line.strip() for line in read_text(self._tree.root / file).split("\n")]
        names = list(filter(None, lines))
        images = self._find(names)
        labels = self._find([_label_name(name) for name in names if name not in images])
        for number, name in enumerate(lines, 1):
            image = images.get(name)
            if not name:
                continue
            if image is None:
                label = labels.get(_label_name(name))
                count = count_objects(self._tree.root / label) if label else 0
                self._remarks.missing(_NO_IMAGE, name, images=1, objects=count)
            elif image not in self._used:
                self._used[image] = file
                yield image
            elif self._used[image] == file:
                self._remarks.add(_TWICE, image)
            else:
                raise UserError(
                    f"{self._tree.root / file}:{number}: {name} is also in {self._used[image]}; "
                    "list it only once"
                )

    def _label(self, image: str) -> Optional[str]:
        """Return the label file, which is next to the image or in `labels` instead of `images`."""
        beside = _label_name(image)
        apart = re.sub(r"(^|/)(images|JPEGImages)/", r"\1labels/", beside)
        found = [label for label in dict.fromkeys((beside, apart)) if label in self._files]
        if len(found) > 1:
            raise UserError(f"{self._tree.root}: {image} has two label files, {some(found)}")
        return found[0] if found else None

    def _add(self, part: DatasetBuilder, image: str, names: Sequence[str]) -> None:
        label = self._label(image)
        if label and self._labelled.setdefault(label, image) != image:
            raise UserError(
                f"{self._tree.root / label}: labels both {self._labelled[label]} and {image}; keep "
                "only one of these images"
            )
        path = self._tree.root / label if label else None
        count = count_objects(path) if path else 0
        size = measure(self._tree.root / image, self._remarks, count)
        if size is None:
            return
        part.add_image(image, size)
        if path is None:
            self._remarks.add(_NO_LABEL, image)
            return
        for found in read_labels(path, size, names, self._remarks, keypoints=False):
            part.add_object(found)


def _label_name(image: str) -> str:
    return posixpath.splitext(image)[0] + ".txt"
