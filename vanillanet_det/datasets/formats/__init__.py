"""Dataset formats; the reader of each format converts a user's dataset to COCO annotations."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Optional, Union

from ...errors import UserError, some
from ...installation import command
from ...media import UNSUPPORTED_IMAGES, has_ending
from . import (
    coco,
    createml,
    csv_boxes,
    cvat,
    darknet,
    hugging_face,
    label_studio,
    labelme,
    voc,
    yolo,
)
from .archives import extract, inner_folder, is_archive
from .files import FileTree, split_named
from .listed import ListFormat
from .other_formats import other_format
from .raw_dataset import RawDataset
from .remarks import Remarks
from .split import split

__all__ = ["RawDataset", "describe_file", "read_dataset", "split"]

# To add a format, list its module here. The module defines NAME, LAYOUT (used in messages),
# `detect(tree)` and `read(tree, remarks)`, which returns a RawDataset and reports to `remarks` what
# isn't in it. A ListFormat does the same. Formats whose files are easiest to recognize come first.
_FORMATS = (
    *(darknet, yolo, coco, voc, labelme),
    *(label_studio.FORMAT, createml.FORMAT, cvat.FORMAT, hugging_face.FORMAT, csv_boxes.FORMAT),
)


def read_dataset(data: Union[str, Path], skip_missing: bool = False) -> RawDataset:
    """Read a dataset, detecting its format.

    Args:
        data: A folder; an annotation file of many images, such as COCO's or YOLO's `data.yaml`; or
            an archive, which is extracted next to it.
        skip_missing: Whether to skip images that are missing or unreadable, and entries of lists
            that refer to missing files, instead of raising an error.

    Raises:
        UserError: The format is unknown, or the dataset is invalid. The message identifies the file
            and the line or id, and states what was expected and how to fix it.
    """
    dataset = _read(Path(os.path.expanduser(data)), Remarks(skip_missing))
    return replace(dataset, remarks=(*dataset.remarks, *_unsupported_images(dataset)))


def _read(data: Path, remarks: Remarks) -> RawDataset:
    if data.is_dir():
        return _read_folder(FileTree(data), remarks)
    if not data.is_file():
        raise UserError(f"{data}: neither a file nor a folder; pass the folder of a dataset")
    if not is_archive(data):
        return _read_file(data, remarks)
    folder, remark = extract(data)
    tree = _folder_with_dataset(FileTree(folder))
    if _detected(tree) and not tree.images():
        found = [file for file in tree.files if has_ending(file, UNSUPPORTED_IMAGES)]
        raise UserError(
            f"{data}: OpenCV can't read its images, such as {found[0]}; convert them to JPEG or PNG"
            if found
            else f"{data}: has no images; export it again with the images, or extract it next to "
            "them and pass that folder"
        )
    dataset = _read_folder(tree, remarks)
    return replace(dataset, remarks=(*dataset.remarks, remark))


def describe_file(path: Path) -> Optional[str]:
    """Return a sentence on an annotation file that isn't COCO's; None if its format is unknown."""
    found = _list_format(path)
    if found:
        return f"{path}: is {found.NAME}, which {command('finetune')} reads and converts to COCO"
    return other_format(path.parent, [path.name])


def _list_format(path: Path) -> Optional[ListFormat]:
    return next(
        (
            each
            for each in _FORMATS
            if isinstance(each, ListFormat)
            and each.suffix == path.suffix.lower()
            and each.is_annotation(path)
        ),
        None,
    )


def _detected(tree: FileTree) -> list:
    return [each for each in _FORMATS if each.detect(tree)]


def _folder_with_dataset(tree: FileTree) -> FileTree:
    """Return the folder of an archive's dataset, which may be the only one in another folder."""
    inner = inner_folder(tree)
    if inner is None or (split_named(inner.root.name, alone=True) and _detected(tree)):
        return tree
    found = _folder_with_dataset(inner)
    return found if _detected(found) else tree


def _read_folder(tree: FileTree, remarks: Remarks) -> RawDataset:
    detected = _detected(tree)
    if not detected:
        raise UserError(other_format(tree.root, tree.files) or _unknown_format(tree))
    dataset = detected[0].read(tree, remarks)
    if len(detected) == 1:
        return dataset
    others = some([each.NAME for each in detected[1:]])
    remark = f"The folder also looks like {others}; it is read as {dataset.format}."
    return replace(dataset, remarks=(*dataset.remarks, remark))


def _read_file(path: Path, remarks: Remarks) -> RawDataset:
    suffix = path.suffix.lower()
    if suffix in (".yaml", ".yml"):
        return yolo.read_yaml(path, remarks)
    if suffix == ".json" and coco.is_coco(path):
        return coco.read_file(path, remarks)
    found = _list_format(path)
    if found:
        return found.read_files(FileTree(path.parent), [path.name], remarks)
    if suffix in (".rar", ".7z", ".gz", ".bz2", ".xz", ".zst"):
        raise UserError(
            f"{path}: is an archive that can't be extracted; extract it yourself, and pass the "
            "folder, or pass a .zip or .tar.gz"
        )
    raise UserError(
        other_format(path.parent, [path.name])
        or f"{path}: neither an annotation file of many images (such as COCO's .json or YOLO's "
        "data.yaml) nor a .zip or .tar archive; pass such a file, or the folder of the dataset"
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
        if _detected(FileTree(tree.root / folder))
    ]
    hint = f". There is a dataset in {some(below, 3)}; pass that folder instead" if below else ""
    return f"{tree.root}: no dataset in a known format: {layouts}. Found {_summary(tree)}{hint}"


def _summary(tree: FileTree) -> str:
    if not tree.files:
        return "no files"
    kinds = sorted({Path(file).suffix.lower() or Path(file).name for file in tree.files})
    return f"{len(tree.files):,} files ({some(kinds, 5)}), such as {some(tree.files, 3)}"
