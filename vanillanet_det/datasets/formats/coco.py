"""COCO format: reads annotation files and finds the folders of their images."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from ...errors import UserError
from .coco_json import read_coco_json
from .files import FileTree, holds, some, split_named, stem
from .images import image_size
from .raw_dataset import RawDataset, make_dataset

NAME = "COCO"
LAYOUT = "COCO (image folders, and annotations/*.json with images, annotations and categories)"
_LOOKED_UP = 20  # number of images that are looked up to find the image folder
_REMAPPED = "Validation annotations remapped to the category ids of the training file"


def detect(tree: FileTree) -> bool:
    """Return whether a folder contains a dataset in this format."""
    return bool(_json_files(tree))


def is_coco(path: Path) -> bool:
    """Return whether a JSON file looks like a COCO annotation file."""
    return holds(path, rb'"(images|annotations|categories)"\s*:\s*\[')


def _json_files(tree: FileTree) -> list[str]:
    files = [file for file in tree.having(".json") if file.count("/") < 2]
    return [file for file in files if is_coco(tree.root / file)]


def read(tree: FileTree) -> RawDataset:
    """Read a folder in which annotation files, or their folders, are named after splits.

    Raises:
        UserError: The training file is missing or ambiguous; also see `read_files`.
    """
    by_split: dict[Optional[str], list[str]] = {}
    for file in _json_files(tree):
        folder = file.rpartition("/")[0]
        split = split_named(stem(file)) or split_named(folder, alone=True)
        by_split.setdefault(split, []).append(file)
    remarks: Counter = Counter()
    if "test" in by_split:
        remarks[f"The test split is skipped ({some(by_split['test'])})."] = 1
    chosen = {}
    for split, files in (
        ("train", by_split.get("train") or by_split.get(None, [])),
        ("val", by_split.get("val", [])),
    ):
        # COCO also has files with captions and person keypoints next to the instances.
        files = [file for file in files if "instances" in stem(file)] or files
        if len(files) > 1:
            raise UserError(
                f"{tree.root}: {some(files)} could all be for {split}; pass the JSON file instead "
                "of the folder, or rename the files to train.json and val.json"
            )
        if files:
            chosen[split] = tree.root / files[0]
    if "train" not in chosen:
        raise UserError(
            f"{tree.root}: no annotation file for training among {some(_json_files(tree))}; "
            "rename the training file, for example to train.json"
        )
    return read_files(chosen, remarks)


def read_file(path: Path) -> RawDataset:
    """Read a single annotation file as training data, without validation data.

    Raises:
        UserError: See `read_files`.
    """
    return read_files({"train": Path(os.path.abspath(path))}, Counter())


def read_files(paths: Mapping[str, Path], remarks: Counter) -> RawDataset:
    """Read annotation files and find their images.

    Args:
        paths: The annotation files of `train` and, if it exists, `val`.
        remarks: Remarks and how often each of them occurred; updated in place.

    Raises:
        UserError: A file is invalid, a file name points outside the data folder, or the images
            aren't in any of the usual folders; the message identifies the file and the id.
    """
    contents, folders = {}, {}
    for split, path in paths.items():
        contents[split] = read_coco_json(path, remarks)
        folders[split] = _image_folder(path, contents[split]["images"], split)
    _share_categories(contents, remarks)
    unused = _drop_unused(contents)
    root = Path(os.path.commonpath(folders.values()))
    for split, content in contents.items():
        prefix = folders[split].relative_to(root)
        for image in content["images"]:
            name = os.path.normpath(prefix / image["file_name"])
            if name.startswith(os.pardir):
                raise UserError(
                    f"{paths[split]}: image {image['id']}: the file name {image['file_name']!r} "
                    f"is outside the data folder {root}; expected a relative path inside it"
                )
            image["file_name"] = name
            if not (image["width"] and image["height"]):
                image["width"], image["height"] = image_size(root / name)
    return make_dataset(NAME, root, contents, unused, remarks)


def _image_folder(path: Path, images: Sequence[Mapping[str, Any]], split: str) -> Path:
    """Return the usual image folder that contains most of the first images."""
    names = [image["file_name"] for image in images[:_LOOKED_UP]]
    places = list(dict.fromkeys(_places(path, split)))
    there = [sum((place / name).is_file() for name in names) for place in places]
    if not any(there):
        looked = ", ".join(map(str, places))
        raise UserError(
            f"{path}: its first image {names[0]!r} isn't in any of {looked}; move the images to "
            "one of these folders"
        )
    return places[there.index(max(there))]


def _places(path: Path, split: str) -> Iterator[Path]:
    own = (path.stem, path.stem.rpartition("_")[2], split)
    for folder in (path.parent, path.parent.parent):
        for name in own:
            yield from (folder / name, folder / "images" / name)
        yield from (folder / "images", folder / "data", folder)


def _share_categories(contents: Mapping[str, dict], remarks: Counter) -> None:
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
        remarks[_REMAPPED] += category_id != annotation["category_id"]
        annotation["category_id"] = category_id
    train["categories"], val["categories"] = merged, [dict(category) for category in merged]


def _drop_unused(contents: Mapping[str, dict]) -> list[str]:
    used = {a["category_id"] for content in contents.values() for a in content["annotations"]}
    categories = contents["train"]["categories"]
    for content in contents.values():
        content["categories"] = [c for c in content["categories"] if c["id"] in used]
    return [category["name"] for category in categories if category["id"] not in used]
