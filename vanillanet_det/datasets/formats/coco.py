"""COCO format: reads annotation files and finds the folders of their images."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from ...errors import UserError, some
from .coco_json import read_coco_json
from .files import FileTree, holds, split_named, stem
from .json_files import is_json_list
from .lookup import Relocation, relocate
from .other_formats import is_like_coco
from .raw_dataset import RawDataset, make_dataset, measure
from .remarks import Remarks

NAME = "COCO"
LAYOUT = "COCO (image folders, and annotations/*.json with images, annotations and categories)"
_MISSING = "Images that don't exist"
_MOVED = "File names whose first folders don't exist, matched by the rest"
_JOINED = "Images listed more than once, whose objects are joined"
_NOT_USED = "Other JSON files, skipped"
_REMAPPED = "Validation annotations remapped to the category ids of the training file"


def detect(tree: FileTree) -> bool:
    """Return whether a folder contains a dataset in this format."""
    return bool(_json_files(tree))


def is_coco(path: Path) -> bool:
    """Return whether a JSON file looks like a COCO annotation file."""
    has_lists = holds(path, rb'"(images|annotations)"\s*:\s*\[')
    return has_lists and not is_json_list(path) and not is_like_coco(path)


def _json_files(tree: FileTree) -> list[str]:
    files = [file for file in tree.having(".json") if file.count("/") < 2]
    return [file for file in files if is_coco(tree.root / file)]


def _by_split(files: Iterable[str]) -> dict[Optional[str], list[str]]:
    by_split: dict[Optional[str], list[str]] = {}
    for file in files:
        folder = file.rpartition("/")[0]
        split = split_named(stem(file)) or split_named(folder, alone=True)
        by_split.setdefault(split, []).append(file)
    return by_split


def _is_meant(file: str) -> bool:
    """Return whether a file has the name of an annotation file, whatever it contains."""
    return file.count("/") < 2 and bool(re.search("instances|annotation|coco", stem(file)))


def read(tree: FileTree, remarks: Remarks) -> RawDataset:
    """Read a folder in which annotation files, or their folders, are named after splits.

    Raises:
        UserError: The training file is missing or ambiguous; also see `read_files`.
    """
    files = _json_files(tree)
    by_split = _by_split(files)
    others = [file for file in tree.having(".json") if file not in set(files)]
    for split, broken in _by_split(filter(_is_meant, others)).items():
        if split in ("train", "val"):  # reading it says what is wrong
            by_split.setdefault(split, broken)
    if "test" in by_split:
        remarks.skip(f"The test split is skipped ({some(by_split['test'])}).")
    chosen = {}
    for split, named in (
        ("train", by_split.get("train") or by_split.get(None, [])),
        ("val", by_split.get("val", [])),
    ):
        # COCO also has files with captions and person keypoints next to the instances.
        named = [file for file in named if "instances" in stem(file)] or named
        if len(named) > 1:
            raise UserError(
                f"{tree.root}: {some(named)} could all be for {split}; pass the JSON file instead "
                "of the folder, or rename the files to train.json and val.json"
            )
        if named:
            chosen[split] = tree.root / named[0]
    for file in [*files, *others]:
        if tree.root / file not in chosen.values() and file not in by_split.get("test", []):
            remarks.skip(_NOT_USED, file)
    if "train" not in chosen:
        raise UserError(
            f"{tree.root}: no annotation file for training among {some(_json_files(tree))}; "
            "rename the training file, for example to train.json"
        )
    return read_files(chosen, remarks, tree.root)


def read_file(path: Path, remarks: Remarks) -> RawDataset:
    """Read a single annotation file as training data, without validation data.

    Raises:
        UserError: See `read_files`.
    """
    return read_files({"train": Path(os.path.abspath(path))}, remarks)


def read_files(
    paths: Mapping[str, Path], remarks: Remarks, top: Optional[Path] = None
) -> RawDataset:
    """Read annotation files and find their images.

    Args:
        paths: The annotation files of `train` and, if it exists, `val`.
        remarks: What was skipped or changed; updated in place.
        top: Folder that contains the images; None if they may also be beside a file's folder.

    Raises:
        UserError: A file is invalid, or the images aren't in any of the usual folders; the
            message identifies the file and the id.
    """
    contents, places = {}, {}
    for split, path in paths.items():
        contents[split] = read_coco_json(path, remarks)
        places[split] = _find_images(path, contents[split]["images"], split, top)
    _share_categories(contents, remarks)
    root = Path(os.path.commonpath([place.folder for place in places.values()]))
    for split, content in contents.items():
        _locate(content, places[split], root, paths[split], remarks)
    unused = _drop_unused(contents)
    return make_dataset(NAME, root, contents, unused, remarks)


def _find_images(
    path: Path, images: Sequence[Mapping[str, Any]], split: str, top: Optional[Path]
) -> Relocation:
    """Find the usual image folder that contains the images."""
    names = [image["file_name"] for image in images]
    folders = list(dict.fromkeys(_folders(path, split, top)))
    place = relocate(names, folders)
    if place is None:
        looked = ", ".join(map(str, folders))
        raise UserError(
            f"{path}: none of its {len(names):,} images is there: {names[0]!r} isn't in any of "
            f"{looked}; move the images to one of these folders"
        )
    return place


def _folders(path: Path, split: str, top: Optional[Path]) -> Iterator[Path]:
    own = (path.stem, path.stem.rpartition("_")[2], split)
    for folder in (path.parent,) if path.parent == top else (path.parent, path.parent.parent):
        for name in own:
            yield from (folder / name, folder / "images" / name)
        yield from (folder / "images", folder / "data", folder)


def _locate(content: dict, place: Relocation, root: Path, path: Path, remarks: Remarks) -> None:
    """Replace file names by paths relative to `root`.

    Images that aren't there are left out, and entries of the same image are joined.
    """
    objects = Counter(annotation["image_id"] for annotation in content["annotations"])
    owners: dict[str, tuple[str, Any]] = {}  # name and id of the first entry of each image
    joined: dict[Any, Any] = {}
    kept, lost = [], set()
    for image in content["images"]:
        name, file = image["file_name"], place.find(image["file_name"])
        if file is None or not os.path.isfile(file):
            remarks.missing(_MISSING, name, images=1, objects=objects[image["id"]])
        elif _measured(image, file, remarks, objects[image["id"]]):
            image["file_name"] = file.relative_to(root).as_posix()
            owner, first = owners.setdefault(image["file_name"], (name, image["id"]))
            if owner != name:
                raise UserError(
                    f"{path}: image {image['id']}: no image {name!r} in {place.folder}, where "
                    f"{file.name} is {owner!r}; add the image or correct its file_name"
                )
            if first != image["id"]:
                remarks.add(_JOINED, name)
                joined[image["id"]] = first
                continue
            if place.dropped:
                remarks.add(_MOVED, f"{name} as {image['file_name']}")
            kept.append(image)
            continue
        lost.add(image["id"])
    content["images"] = kept
    for annotation in content["annotations"] if joined else ():
        annotation["image_id"] = joined.get(annotation["image_id"], annotation["image_id"])
    if lost:
        content["annotations"] = [a for a in content["annotations"] if a["image_id"] not in lost]


def _measured(image: dict, file: Path, remarks: Remarks, objects: int) -> bool:
    """Complete an image's size; return False if this is impossible."""
    if image["width"] and image["height"]:
        return True
    size = measure(file, remarks, objects)
    if size:
        image["width"], image["height"] = size
    return size is not None


def _share_categories(contents: Mapping[str, dict], remarks: Remarks) -> None:
    """Renumber the validation categories to match the training categories."""
    if "val" not in contents:
        return
    train, val = contents["train"], contents["val"]
    ids = {category["name"]: category["id"] for category in train["categories"]}
    own = {category["id"]: category["name"] for category in val["categories"]}
    merged = list(train["categories"])
    for category in val["categories"]:
        if category["name"] not in ids:
            taken = set(ids.values())
            free = next(i for i in (category["id"], *range(1, len(taken) + 2)) if i not in taken)
            ids[category["name"]] = free
            merged.append({**category, "id": free})
    for annotation in val["annotations"]:
        category_id = ids[own[annotation["category_id"]]]
        if category_id != annotation["category_id"]:
            remarks.add(_REMAPPED, own[annotation["category_id"]])
        annotation["category_id"] = category_id
    train["categories"], val["categories"] = merged, [dict(category) for category in merged]


def _drop_unused(contents: Mapping[str, dict]) -> list[str]:
    used = {a["category_id"] for content in contents.values() for a in content["annotations"]}
    categories = contents["train"]["categories"]
    for content in contents.values():
        content["categories"] = [c for c in content["categories"] if c["id"] in used]
    return [category["name"] for category in categories if category["id"] not in used]
