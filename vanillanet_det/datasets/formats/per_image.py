"""Formats with one annotation file per image: Pascal VOC and LabelMe."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from ...errors import UserError
from ...media import CONVERT, UNSUPPORTED_IMAGES
from .files import FileTree, ImageIndex, stem
from .images import image_size
from .raw_dataset import DatasetBuilder, Object, RawDataset, build_dataset

_TEST = "Annotation files of the test split, skipped"
_NOT_ANNOTATED = "Images without an annotation file, skipped"


@dataclass(frozen=True)
class ImageAnnotation:
    """The content of an annotation file.

    Attributes:
        image: Image name in the file, used only if no image has the same stem as the file.
        size: Width and height of the image; None if the file doesn't contain them.
        objects: The objects in the image.
    """

    image: str
    size: Optional[tuple[int, int]]
    objects: Sequence[Object]


def read_per_image(
    format: str,
    tree: FileTree,
    splits: Mapping[str, str],
    parse: Callable[[Path], ImageAnnotation],
    remarks: Counter,
) -> RawDataset:
    """Read a dataset that has one annotation file per image.

    Args:
        format: Name of the format.
        tree: Files of the dataset.
        splits: `train`, `val` or `test` for each annotation file.
        parse: Function that reads an annotation file.
        remarks: Remarks and how often each of them occurred; updated in place.

    Raises:
        UserError: There is no training data, an image is missing or has two annotation files, or
            `parse` fails.
    """
    remarks[_TEST] = sum(split == "test" for split in splits.values())
    parts = {split: DatasetBuilder() for split in ("train", "val") if split in splits.values()}
    if "train" not in parts:
        raise UserError(
            f"{tree.root}: all annotation files are for validation or test; put the training "
            "annotations into a folder named train"
        )
    images, used = ImageIndex(tree), {}
    for file, split in splits.items():
        if split == "test":
            continue
        path = tree.root / file
        annotation = parse(path)
        image = images.find(file, annotation.image)
        if image is None:
            for other in tree.having(*UNSUPPORTED_IMAGES):
                if stem(other) == stem(file):
                    raise UserError(f"{path}: OpenCV can't read its image {other}; {CONVERT}")
            raise UserError(
                f"{path}: neither an image of the same name nor {annotation.image!r} is in "
                f"{tree.root}; add the image or remove the file"
            )
        if image in used:
            raise UserError(f"{path}: annotates {image}, as does {used[image]}; remove either one")
        used[image] = file
        parts[split].add_image(image, annotation.size or image_size(tree.root / image))
        for found in annotation.objects:
            parts[split].add_object(found)
    annotated = {stem(file) for file in tree.having(".xml", ".json")}
    left = [image for image in images.all.difference(used) if stem(image) not in annotated]
    remarks[_NOT_ANNOTATED] = len(left)
    return build_dataset(format, tree.root, parts, remarks)
