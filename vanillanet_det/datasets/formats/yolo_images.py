"""YOLO format: finds the images that `data.yaml` refers to."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from ...errors import UserError, some
from ...media import CONVERT, IMAGES, UNSUPPORTED_IMAGES, has_ending
from .files import FileTree, read_text
from .lookup import relocate
from .remarks import Remarks

_NOTHING = ("", "~", "null", "Null", "NULL")  # which YAML is read as text here
_TWICE = "Images listed more than once, but used only once"
_MISSING = "Listed images that don't exist"
_OUTSIDE = "Folders and lists outside the data folder"
_INNER = "Images in the folders of two splits, used in that of the inner folder"
_MOVED = "Paths whose first folders don't exist, matched by the rest"


def find_images(content: Mapping[str, Any], path: Path, remarks: Remarks) -> dict[str, list[Path]]:
    """Find the images of each split.

    Args:
        content: The content of `data.yaml`.
        path: The file.
        remarks: What was skipped or changed; updated in place.

    Returns:
        The images of `train`, and of `val` and `test` if there is such a split.

    Raises:
        UserError: A folder or list doesn't exist, or an image is outside the data folder or in
            two splits.
    """
    places = {
        "train": _as_list(content.get("train")),
        "val": _as_list(content.get("val")) or _as_list(content.get("valid")),
        "test": _as_list(content.get("test")),
    }
    if not places["train"]:
        raise UserError(f"{path}: has no entry train; expected a folder or a list of images")
    base = _base(content, path, places["train"], remarks)
    # Roboflow's exports have ../train/images instead of train/images.
    inner = {name: name.removeprefix("../") for names in places.values() for name in names}
    if not all(os.path.exists(base / inner[name]) for name in places["train"]):
        inner = {name: name for name in inner}
    found: dict[str, dict[Path, Path]] = {}  # the folder or list of each image of a split
    used: dict[Path, str] = {}
    for split, named in places.items():
        files: dict[Path, Path] = {}
        for name in named:
            place = _place(inner[name], base, remarks)
            if place is None and split == "test":
                remarks.add(f"{path.name} has a test split that doesn't exist ({name}).")
                continue
            stated = os.path.normpath(base / inner[name])
            if place is None or used.setdefault(place, stated) != stated:
                raise UserError(
                    f"{path}: {name} is neither a folder nor a list of images in {base}; correct "
                    "the entry"
                )
            remarks.add(_OUTSIDE, place, base not in (place, *place.parents))
            for file in _images(place, base, remarks):
                remarks.add(_TWICE, file.name, file in files)
                files[file] = place
        if named:
            found[split] = files
    return _separate(found, path, remarks)


def _separate(
    found: Mapping[str, dict[Path, Path]], path: Path, remarks: Remarks
) -> dict[str, list[Path]]:
    """Let each image be in one split only: the one whose folder is inside that of the other."""
    kept: dict[str, dict[Path, Path]] = {}
    for split, files in found.items():
        same = [other for other in kept if files and files.keys() == kept[other].keys()]
        if same:
            text = f"{path.name} has the same images for {same[0]} and {split}; {split} is ignored"
            remarks.add(f"{text}.")
            continue
        for other, before in kept.items():
            for file in sorted(files.keys() & before.keys()):
                if before[file] in files[file].parents:
                    del before[file]
                elif files[file] in before[file].parents:
                    del files[file]
                else:
                    raise UserError(
                        f"{path}: {file} is in {other} and in {split}; list it only once"
                    )
                remarks.add(_INNER, file.name)
        kept[split] = files
    return {split: list(files) for split, files in kept.items()}


def _as_list(places: Any) -> list[str]:
    places = places if isinstance(places, list) else [places]
    return [str(place) for place in places if place is not None and place not in _NOTHING]


def _base(content: Mapping[str, Any], path: Path, train: Sequence[str], remarks: Remarks) -> Path:
    """Find the folder that `path` refers to, which is often wrong after a dataset is moved."""
    for text in _as_list(content.get("path"))[:1]:
        named = Path(os.path.expanduser(text))
        for base in (path.parent / named, Path.cwd() / named, path.parent.parent / named):
            if all(os.path.exists(base / place) for place in train):
                return Path(os.path.normpath(base))
        if Path(os.path.normpath(path.parent / named)) != path.parent:
            text = (
                f"{path.name} has path {named}, which lacks its images; the file's folder is used"
            )
            remarks.add(f"{text}.")
    return path.parent


def _place(name: str, base: Path, remarks: Remarks) -> Optional[Path]:
    if os.path.exists(base / name):
        return Path(os.path.normpath(base / name))
    moved = relocate([name], [base])
    place = moved and moved.find(name)
    if place:
        remarks.add(_MOVED, f"{name} as {place.relative_to(base)}")
    return place


def _images(place: Path, base: Path, remarks: Remarks) -> Iterator[Path]:
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
        yield from _listed(place, base, remarks)


def _listed(file: Path, base: Path, remarks: Remarks) -> Iterator[Path]:
    lines = {i: line.strip() for i, line in enumerate(read_text(file).split("\n"), 1)}
    lines = {number: name for number, name in lines.items() if name}
    found = {name: _inside(name, file, base) for name in lines.values()}
    lost = [name for name, path in found.items() if path is None]
    moved = relocate(lost, [base, file.parent])
    owners = {path: name for name, path in found.items() if path}
    for number, name in lines.items():
        path = found[name]
        if path is None and moved is not None:
            path = moved.find(name)
            path = path if path and os.path.isfile(path) and base in path.parents else None
            if path and owners.setdefault(path, name) != name:
                raise UserError(
                    f"{file}:{number}: no image {name!r} in {base}, where {path.name} is "
                    f"{owners[path]!r}; add the image or correct the line"
                )
            if path:
                remarks.add(_MOVED, f"{name} as {path.relative_to(base)}")
        if path is not None:
            yield path
        elif _may_be_inside(name, file, base):
            remarks.missing(_MISSING, f"{file.name}:{number}: {name}", images=1)
        else:
            raise UserError(
                f"{file}:{number}: {name!r} is outside the data folder {base}; list the images "
                "relative to this folder"
            )


def _paths(name: str, file: Path, base: Path) -> list[Path]:
    paths = [Path(os.path.normpath(folder / name)) for folder in (base, file.parent)]
    return [path for path in paths if base in path.parents]


def _inside(name: str, file: Path, base: Path) -> Optional[Path]:
    return next((path for path in _paths(name, file, base) if os.path.isfile(path)), None)


def _may_be_inside(name: str, file: Path, base: Path) -> bool:
    return bool(_paths(name, file, base))
