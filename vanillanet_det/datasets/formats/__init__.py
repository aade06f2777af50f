"""Dataset formats; the reader of each format converts a user's dataset to COCO annotations."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Union

from ...errors import UserError, some
from ...media import UNSUPPORTED_IMAGES, has_ending
from . import coco, labelme, voc, yolo
from .files import FileTree
from .raw_dataset import RawDataset
from .split import split

__all__ = ["RawDataset", "read_dataset", "split"]

# To add a format, list its module here. The module defines NAME, LAYOUT (used in messages),
# `detect(tree)` and `read(tree)`, which returns a RawDataset. Formats whose files are easiest to
# recognize come first.
_FORMATS = (yolo, coco, voc, labelme)


def read_dataset(data: Union[str, Path]) -> RawDataset:
    """Read a dataset, detecting its format.

    Args:
        data: A folder, a COCO annotation file, or YOLO's `data.yaml`.

    Raises:
        UserError: The format is unknown, or the dataset is invalid. The message identifies the file
            and the line or id, and states what was expected and how to fix it.
    """
    dataset = _read(Path(os.path.expanduser(data)))
    return replace(dataset, remarks=(*dataset.remarks, *_unsupported_images(dataset)))


def _read(data: Path) -> RawDataset:
    if data.is_file():
        return _read_file(data)
    if not data.is_dir():
        raise UserError(f"{data}: neither a file nor a folder; pass the folder of a dataset")
    tree = FileTree(data)
    detected = [each for each in _FORMATS if each.detect(tree)]
    if not detected:
        raise UserError(_unknown_format(tree))
    dataset = detected[0].read(tree)
    if len(detected) == 1:
        return dataset
    others = some([each.NAME for each in detected[1:]])
    remark = f"The folder also looks like {others}; it is read as {dataset.format}."
    return replace(dataset, remarks=(*dataset.remarks, remark))


def _read_file(path: Path) -> RawDataset:
    if path.suffix.lower() in (".yaml", ".yml"):
        return yolo.read_yaml(path)
    if path.suffix.lower() == ".json" and coco.is_coco(path):
        return coco.read_file(path)
    raise UserError(
        f"{path}: neither a COCO annotation file (.json with images, annotations and categories) "
        "nor YOLO's data.yaml; pass one of these files, or the folder of the dataset"
    )


def _unsupported_images(dataset: RawDataset) -> list[str]:
    """Return a remark about images beside those of the dataset that OpenCV can't read."""
    images = [image for part in (dataset.train, dataset.val) if part for image in part["images"]]
    paths = [os.path.join(dataset.root, image["file_name"]) for image in images]
    folders = filter(os.path.isdir, set(map(os.path.dirname, paths)))
    found = [
        os.path.join(folder, name)
        for folder in folders
        for name in os.listdir(folder)
        if has_ending(name, UNSUPPORTED_IMAGES)
    ]
    found = sorted(set(found).difference(paths))
    names = some([os.path.relpath(path, dataset.root) for path in found], 3)
    return [f"Images that OpenCV can't read, skipped: {len(found):,} ({names})."] if found else []


def _unknown_format(tree: FileTree) -> str:
    layouts = "; ".join(each.LAYOUT for each in _FORMATS)
    below = [
        folder
        for folder in sorted({file.split("/")[0] for file in tree.files if "/" in file})
        if any(each.detect(FileTree(tree.root / folder)) for each in _FORMATS)
    ]
    hint = f". There is a dataset in {some(below, 3)}; pass that folder instead" if below else ""
    return f"{tree.root}: no dataset in a known format: {layouts}. Found {_summary(tree)}{hint}"


def _summary(tree: FileTree) -> str:
    if not tree.files:
        return "no files"
    kinds = sorted({Path(file).suffix.lower() or Path(file).name for file in tree.files})
    return f"{len(tree.files):,} files ({some(kinds, 5)}), such as {some(tree.files, 3)}"
