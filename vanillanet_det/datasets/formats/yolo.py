"""YOLO format: finds images and classes; `yolo_labels` finds and reads the label files."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ...errors import UserError
from ...media import CONVERT, IMAGES, UNSUPPORTED_IMAGES, has_ending
from .files import (
    FileTree,
    read_text,
    some,
    split_named,
    split_of_folders,
    stem,
)
from .images import image_size
from .raw_dataset import DatasetBuilder, RawDataset, build_dataset
from .yolo_labels import find_labels, labels_folder, read_labels

NAME = "YOLO"
LAYOUT = "YOLO (data.yaml or classes.txt, images/, labels/*.txt)"
_TEST = "Images of the test split, skipped"
_TWICE = "Images listed more than once in a split, but used only once"
_NO_LABEL = "Images without a label file, treated as images without objects"
_NO_IMAGE = "Label files without an image, skipped"


def detect(tree: FileTree) -> bool:
    """Return whether a folder contains a dataset in this format."""
    if _yaml_files(tree):
        return True
    # Labelling tools also write a classes.txt next to annotations in other formats.
    labels = {stem(file) for file in tree.having(".txt")}
    if "classes.txt" in tree.files and labels.intersection(map(stem, tree.images())):
        return True
    folders = [file.split("/")[:-1] for file in tree.having(".txt")]
    return any(
        folder[:1] == ["labels"] or (folder[1:2] == ["labels"] and split_named(folder[0]))
        for folder in folders
    )


def _yaml_files(tree: FileTree) -> list[str]:
    files = [file for file in tree.having(".yaml", ".yml") if "/" not in file]
    named = [file for file in files if file.rsplit(".", 1)[0] == "data"]
    return named or [file for file in files if _names_classes(tree.root / file)]


def _names_classes(path: Path) -> bool:
    try:
        return "names" in _read_yaml(path)
    except UserError:  # the file has another purpose
        return False


def read(tree: FileTree) -> RawDataset:
    """Read a folder that contains a YOLO dataset.

    Raises:
        UserError: No file lists the classes; also see `read_yaml`.
    """
    files = _yaml_files(tree)
    if len(files) > 1:
        raise UserError(
            f"{tree.root}: {some(files)} all list classes; pass the file instead of the folder"
        )
    if files:
        return read_yaml(tree.root / files[0])
    names_file = next((file for file in tree.files if file.split("/")[-1] == "classes.txt"), None)
    if names_file is None:
        raise UserError(
            f"{tree.root}: has YOLO labels, but neither data.yaml nor classes.txt lists the "
            "classes; write a classes.txt with one name per line, in the order of the class indices"
        )
    path = tree.root / names_file
    names = _checked_names([line for line in read_text(path).splitlines() if line.strip()], path)
    files_of: dict[str, list[Path]] = {}
    for file in tree.images():
        files_of.setdefault(split_of_folders(file) or "train", []).append(tree.root / file)
    return _read(path, files_of, names, Counter(), keypoints=False)


def read_yaml(path: Path) -> RawDataset:
    """Read the dataset that a `data.yaml` describes.

    Raises:
        UserError: This file, a list of images, a label file or an image is invalid; the message
            contains the file and the line.
    """
    path = Path(os.path.abspath(path))
    content = _read_yaml(path)
    names = _class_names(content, path)
    places = {
        "train": _as_list(content.get("train")),
        "val": _as_list(content.get("val") or content.get("valid")),
        "test": _as_list(content.get("test")),
    }
    if not places["train"]:
        raise UserError(f"{path}: has no entry train; expected a folder or a list of images")
    remarks: Counter = Counter()
    base = _base(content, path, places["train"], remarks)
    files_of = {}
    for split, named in places.items():
        # Some exports list a test split that doesn't exist.
        if split == "test" and not all((base / place).exists() for place in named):
            continue
        files = [file for place in named for file in _images(_place(place, base, path), base)]
        unique = list(dict.fromkeys(files))
        if len(files) > len(unique):
            remarks[_TWICE] += len(files) - len(unique)
        if named:
            files_of[split] = unique
    return _read(path, files_of, names, remarks, keypoints="kpt_shape" in content)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise UserError(
            f"{path}{line}: is not valid YAML ({problem}); expected entries such as "
            "names: [cat, dog]"
        ) from error
    return content if isinstance(content, dict) else {}


def _class_names(content: dict[str, Any], path: Path) -> list[str]:
    names = content.get("names")
    if isinstance(names, dict):
        by_number = {str(key): name for key, name in names.items()}
        numbers = [str(index) for index in range(len(names))]
        if set(by_number) != set(numbers):
            raise UserError(
                f"{path}: names has the indices {some(list(names))}, expected 0 to "
                f"{len(names) - 1} without gaps; renumber the classes here and in the labels"
            )
        names = [by_number[index] for index in numbers]
    if not isinstance(names, list) or not names:
        raise UserError(
            f"{path}: names is {names!r}, expected a list of classes: names: [cat, dog]"
        )
    names = _checked_names([str(name) for name in names], path)
    if str(content.get("nc", len(names))) != str(len(names)):
        raise UserError(
            f"{path}: nc is {content['nc']!r} but names has {len(names)} classes; correct or "
            "remove nc"
        )
    return names


def _checked_names(names: Sequence[str], path: Path) -> list[str]:
    names = [name.strip() for name in names]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(
            f"{path}: the class {twice[0]!r} is listed twice; give each class its own name"
        )
    return names


def _as_list(places: Any) -> list[str]:
    if not places:
        return []
    return [str(place) for place in places] if isinstance(places, list) else [str(places)]


def _base(content: dict[str, Any], path: Path, train: Sequence[str], remarks: Counter) -> Path:
    """Find the folder that `path` refers to, which is often wrong after a dataset is moved."""
    if not content.get("path"):
        return path.parent
    named = Path(str(content["path"])).expanduser()
    for base in (path.parent / named, Path.cwd() / named, path.parent.parent / named):
        if all((base / place).exists() for place in train):
            return Path(os.path.normpath(base))
    remarks[
        f"{path.name} has path {named}, which doesn't exist; its own folder is used instead."
    ] = 1
    return path.parent


def _place(place: str, base: Path, path: Path) -> Path:
    # Roboflow's exports have ../train/images instead of train/images.
    for candidate in (base / place, base / place.replace("../", "", 1)):
        if candidate.exists():
            return Path(os.path.normpath(candidate))
    raise UserError(
        f"{path}: {place} is neither a folder nor a list of images in {base}; correct the entry"
    )


def _images(place: Path, base: Path) -> Iterator[Path]:
    if place.is_dir():
        tree = FileTree(place)
        images, others = tree.images(), tree.having(*UNSUPPORTED_IMAGES)
        if others and not images:
            raise UserError(
                f"{place}: has no images that OpenCV can read, only {some(others, 3)}; {CONVERT}"
            )
        yield from (tree.root / file for file in images)
    elif has_ending(place.name, IMAGES):
        yield place
    else:
        yield from _listed(place, base)


def _listed(file: Path, base: Path) -> Iterator[Path]:
    for number, line in enumerate(read_text(file).splitlines(), 1):
        name = line.strip()
        if not name:
            continue
        paths = [Path(os.path.normpath(folder / name)) for folder in (base, file.parent)]
        allowed = [path for path in paths if base in path.parents]
        if not allowed:
            raise UserError(
                f"{file}:{number}: {name!r} is outside the data folder {base}; list the images "
                "relative to this folder"
            )
        found = next((path for path in allowed if path.is_file()), None)
        if found is None:
            raise UserError(
                f"{file}:{number}: no image {name!r} in {base}; add the image or remove the line"
            )
        yield found


def _read(
    path: Path,
    files_of: dict[str, list[Path]],
    names: Sequence[str],
    remarks: Counter,
    keypoints: bool,
) -> RawDataset:
    tests = files_of.pop("test", [])
    if tests:
        remarks[_TEST] = len(tests)
    for split, files in files_of.items():
        if not files:
            raise UserError(f"{path}: no images in the folders of {split}; add at least one")
    if "train" not in files_of:
        raise UserError(f"{path}: no training images; expected some in images/train")
    folders: dict[Path, set[str]] = {}
    for file in (file for files in files_of.values() for file in files):
        folders.setdefault(file.parent, set()).add(file.stem)
    root = Path(os.path.commonpath(folders))
    labels = {folder: find_labels(folder, stems, remarks) for folder, stems in folders.items()}
    if not any(labels.values()):
        raise UserError(
            f"{path}: the images have no labels; expected a .txt file for each image in "
            f"{labels_folder(next(iter(folders)))}"
        )
    used, parts = set(), {}
    for split, files in files_of.items():
        parts[split] = DatasetBuilder()
        for file in files:
            size = image_size(file)
            parts[split].add_image(file.relative_to(root).as_posix(), size)
            label = labels[file.parent].get(file.stem)
            if label is None:
                remarks[_NO_LABEL] += 1
                continue
            used.add(label)
            for found in read_labels(label, size, names, remarks, keypoints):
                parts[split].add_object(found)
    _count_alone(labels, used, remarks)
    return build_dataset(NAME, root, parts, remarks, names)


def _count_alone(labels: Mapping[Path, Mapping[str, Path]], used: set, remarks: Counter) -> None:
    alone = {file for files in labels.values() for file in files.values()} - used
    if alone:
        remarks[_NO_IMAGE] = len(alone)
