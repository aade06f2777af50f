"""Formats with one annotation file per image: Pascal VOC and LabelMe."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from ...errors import UserError
from ...media import CONVERT, UNSUPPORTED_IMAGES
from .files import FileTree, ImageIndex, stem
from .raw_dataset import DatasetBuilder, Object, RawDataset, build_dataset, measure
from .remarks import Remarks

_TEST = "Annotation files of the test split, skipped"
_NOT_ANNOTATED = "Images without an annotation file, skipped"
_NO_IMAGE = "Annotation files whose images are missing"


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
    remarks: Remarks,
) -> RawDataset:
    """Read a dataset that has one annotation file per image.

    Args:
        format: Name of the format.
        tree: Files of the dataset.
        splits: `train`, `val` or `test` for each annotation file.
        parse: Function that reads an annotation file.
        remarks: What was skipped or changed; updated in place.

    Raises:
        UserError: There is no training data, images are missing, an image has two annotation files,
            or `parse` fails.
    """
    parts = {split: DatasetBuilder() for split in ("train", "val") if split in splits.values()}
    if "train" not in parts:
        raise UserError(
            f"{tree.root}: all annotation files are for validation or test; put the training "
            "annotations into a folder named train"
        )
    images, used = ImageIndex(tree), {}
    for file, split in splits.items():
        if split == "test":
            remarks.skip(_TEST, file, images=1)
            continue
        path = tree.root / file
        annotation = parse(path)
        image = images.find(file, annotation.image)
        if image is None:
            for other in tree.having(*UNSUPPORTED_IMAGES):
                if stem(other) == stem(file):
                    raise UserError(f"{path}: OpenCV can't read its image {other}; {CONVERT}")
            place = f"{file} of {annotation.image!r}"
            remarks.missing(_NO_IMAGE, place, images=1, objects=len(annotation.objects))
            continue
        if image in used:
            raise UserError(f"{path}: annotates {image}, as does {used[image]}; remove either one")
        used[image] = file
        size = annotation.size or measure(tree.root / image, remarks, len(annotation.objects))
        if size is None:
            continue
        parts[split].add_image(image, size)
        for found in annotation.objects:
            parts[split].add_object(found)
    annotated = {stem(file) for file in tree.having(".xml", ".json")}
    for image in sorted(images.all.difference(used)):
        if stem(image) not in annotated:
            remarks.skip(_NOT_ANNOTATED, image, images=1)
    return build_dataset(format, tree.root, parts, remarks)
