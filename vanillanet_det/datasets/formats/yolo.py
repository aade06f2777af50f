"""YOLO format: finds images and classes; `yolo_labels` finds and reads the label files."""

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Callable

from ...errors import UserError, some
from . import darknet
from .files import FileTree, split_named, split_of_folders, stem
from .raw_dataset import DatasetBuilder, RawDataset, build_dataset, measure
from .remarks import Remarks
from .yolo_classes import ClassLists, is_class_list, read_yaml_text, yaml_class_names
from .yolo_images import find_images
from .yolo_labels import count_objects, find_labels, is_label, labels_folder, read_labels

NAME = "YOLO"
LAYOUT = "YOLO (data.yaml or classes.txt, images/, labels/*.txt)"
_TEST = "Images of the test split, skipped"
_NO_LABEL = "Images without a label file, treated as images without objects"
_NO_IMAGE = "Label files without an image, skipped"
_LISTS = "Lists of classes that differ, each used for the labels in its folder"


def detect(tree: FileTree) -> bool:
    """Return whether a folder contains a dataset in this format."""
    if _yaml_files(tree):
        return True
    # Labelling tools also write a classes.txt next to annotations in other formats.
    labels = {stem(file) for file in tree.having(".txt")}
    if darknet.detect(tree):
        return False
    if _class_lists(tree) and labels.intersection(map(stem, tree.images())):
        return True
    folders = [file.lower().split("/")[:-1] for file in tree.having(".txt")]
    return any(
        folder[:1] == ["labels"] or (folder[1:2] == ["labels"] and split_named(folder[0]))
        for folder in folders
    )


def _yaml_files(tree: FileTree) -> list[str]:
    files = [file for file in tree.having(".yaml", ".yml") if "/" not in file]
    return list(filter(_is_data_yaml, files)) or _lists_of_classes(tree, files)


def _is_data_yaml(file: str) -> bool:
    return file.rsplit(".", 1)[0] == "data"


def _lists_of_classes(tree: FileTree, files: Iterable[str]) -> list[str]:
    return [file for file in files if _names_classes(tree.root / file)]


def _names_classes(path: Path) -> bool:
    try:
        return "names" in read_yaml_text(path)
    except UserError:  # the file has another purpose
        return False


def _class_lists(tree: FileTree) -> list[str]:
    files = [file for file in tree.files if is_class_list(file.rpartition("/")[2])]
    stems = set(map(stem, tree.images())) if files else set()
    return [file for file in files if stem(file) not in stems]


def read(tree: FileTree, remarks: Remarks) -> RawDataset:
    """Read a folder that contains a YOLO dataset.

    Raises:
        UserError: No file lists the classes, or several do and differ; also see `read_yaml`.
    """
    files = _yaml_files(tree)
    if len(files) > 1:
        raise UserError(
            f"{tree.root}: {some(files)} all list classes; pass the file instead of the folder"
        )
    if files:
        others = [file for file in tree.having(".yaml", ".yml") if "/" not in file]
        for file in _lists_of_classes(tree, [file for file in others if file not in files]):
            remarks.add(f"YAML files that list classes, ignored beside {files[0]}", file)
        return read_yaml(tree.root / files[0], remarks)
    lists = _class_lists(tree)
    if not lists:
        raise UserError(
            f"{tree.root}: has YOLO labels, but neither data.yaml nor classes.txt lists the "
            "classes; write a classes.txt with one name per line, in the order of the class indices"
        )
    classes = ClassLists(tree.root / file for file in lists)
    if classes.differ:
        for file in lists:
            remarks.add(_LISTS, file)
    files_of: dict[str, list[Path]] = {}
    for file in tree.images():
        files_of.setdefault(split_of_folders(file) or "train", []).append(tree.root / file)
    names_for = lru_cache(maxsize=None)(classes.names_for)
    known = [tree.root / file for file in tree.having(".txt") if "/labels/" in f"/{file.lower()}"]
    return _read(tree.root, files_of, classes.all_names, names_for, remarks, labels=known)


def read_yaml(path: Path, remarks: Remarks) -> RawDataset:
    """Read the dataset that a `data.yaml` describes.

    Raises:
        UserError: This file, a list of images, a label file or an image is invalid; the message
            contains the file and the line.
    """
    path = Path(os.path.abspath(path))
    content = read_yaml_text(path)
    names = yaml_class_names(content, path)
    files_of = find_images(content, path, remarks)
    return _read(path, files_of, names, lambda _: names, remarks, "kpt_shape" in content)


def _read(
    path: Path,
    files_of: dict[str, list[Path]],
    declared: Sequence[str],
    names_for: Callable[[Path], Sequence[str]],
    remarks: Remarks,
    keypoints: bool = False,
    labels: Iterable[Path] = (),
) -> RawDataset:
    for file in files_of.pop("test", []):
        remarks.skip(_TEST, file.name, images=1)
    for split, files in files_of.items():
        if not files:
            remarks.stop_at_missing(path)
            raise UserError(f"{path}: no images in the folders of {split}; add at least one")
    if "train" not in files_of:
        raise UserError(f"{path}: no training images; expected some in images/train")
    folders: dict[Path, set[str]] = {}
    for file in (file for files in files_of.values() for file in files):
        folders.setdefault(file.parent, set()).add(file.stem)
    root = Path(os.path.commonpath(folders))
    labels_of = {folder: find_labels(folder, stems, remarks) for folder, stems in folders.items()}
    if not any(labels_of.values()):
        raise UserError(
            f"{path}: the images have no labels; expected a .txt file for each image in "
            f"{labels_folder(next(iter(folders)))}"
        )
    if path.is_file():
        _check_lists(labels_of, declared, path, remarks)
    used: dict[Path, Path] = {}
    parts = {}
    for split, files in files_of.items():
        parts[split] = DatasetBuilder()
        for file in files:
            label = labels_of[file.parent].get(file.stem)
            if label and used.setdefault(label, file) != file:
                raise UserError(
                    f"{label}: labels both {used[label].name} and {file.name}; keep only one of "
                    "these images"
                )
            size = measure(file, remarks, objects=count_objects(label) if label else 0)
            if size is None:
                continue
            parts[split].add_image(file.relative_to(root).as_posix(), size)
            if label is None:
                remarks.add(_NO_LABEL, file.name)
                continue
            for thing in read_labels(label, size, names_for(label.parent), remarks, keypoints):
                parts[split].add_object(thing)
    found = {file for files in labels_of.values() for file in files.values()}
    for file in sorted(found.union(filter(is_label, labels)).difference(used)):
        remarks.skip(_NO_IMAGE, file.name, objects=count_objects(file))
    return build_dataset(NAME, root, parts, remarks, declared)


def _check_lists(
    labels: Mapping[Path, Mapping[str, Path]],
    declared: Sequence[str],
    path: Path,
    remarks: Remarks,
) -> None:
    """Compare lists of classes beside the labels and `data.yaml` with those of `data.yaml`."""
    folders = {path.parent}
    for folder in {file.parent for files in labels.values() for file in files.values()}:
        folders.add(folder)
        folders.update(above for above in folder.parents if path.parent in above.parents)
    for folder in sorted(folders):
        for file in (folder / name for name in os.listdir(folder) if is_class_list(name)):
            try:
                lists = ClassLists([file])
            except UserError:
                remarks.add(
                    f"Class lists that can't be read, ignored beside {path.name}", file.name
                )
                continue
            lists.check(declared, path)
            if lists.all_names != list(declared):
                remarks.add(
                    f"Class lists that differ from the names in {path.name}, ignored", file.name
                )
