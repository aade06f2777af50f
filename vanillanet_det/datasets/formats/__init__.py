"""Dataset formats; the reader of each format converts a user's dataset to COCO annotations."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Union

from ...errors import UserError
from . import coco, labelme, voc, yolo
from .files import FileTree, some
from .raw_dataset import RawDataset
from .remarks import Remarks
from .split import split

__all__ = ["RawDataset", "read_dataset", "split"]

# To add a format, list its module here. The module defines NAME, LAYOUT (used in messages),
# `detect(tree)` and `read(tree, remarks)`, which returns a RawDataset and reports to `remarks` what
# isn't in it. Formats whose files are easiest to recognize come first.
_FORMATS = (yolo, coco, voc, labelme)


def read_dataset(data: Union[str, Path], skip_missing: bool = False) -> RawDataset:
    """Read a dataset, detecting its format.

    Args:
        data: A folder, a COCO annotation file, or YOLO's `data.yaml`.
        skip_missing: Whether to skip images that are missing or unreadable, and entries of lists
            that refer to missing files, instead of raising an error.

    Raises:
        UserError: The format is unknown, or the dataset is invalid. The message identifies the file
            and the line or id, and states what was expected and how to fix it.
    """
    data, remarks = Path(os.path.expanduser(data)), Remarks(skip_missing)
    if data.is_file():
        return _read_file(data, remarks)
    if not data.is_dir():
        raise UserError(f"{data}: neither a file nor a folder; pass the folder of a dataset")
    tree = FileTree(data)
    detected = [each for each in _FORMATS if each.detect(tree)]
    if not detected:
        raise UserError(_unknown_format(tree))
    dataset = detected[0].read(tree, remarks)
    if len(detected) == 1:
        return dataset
    others = some([each.NAME for each in detected[1:]])
    remark = f"The folder also looks like {others}; it is read as {dataset.format}."
    return replace(dataset, remarks=(*dataset.remarks, remark))


def _read_file(path: Path, remarks: Remarks) -> RawDataset:
    if path.suffix.lower() in (".yaml", ".yml"):
        return yolo.read_yaml(path, remarks)
    if path.suffix.lower() == ".json" and coco.is_coco(path):
        return coco.read_file(path, remarks)
    raise UserError(
        f"{path}: neither a COCO annotation file (.json with images, annotations and categories) "
        "nor YOLO's data.yaml; pass one of these files, or the folder of the dataset"
    )


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
