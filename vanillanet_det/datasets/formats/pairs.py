"""Forms that have an annotation file for each image: Pascal VOC and LabelMe."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from ...errors import UserError
from .files import Images, Tree, image_size, stem
from .source import Content, Object, Source, make_source

_TEST = "Annotation files of the test split, left out"
_NOT_ANNOTATED = "Images without an annotation file, left out"


@dataclass(frozen=True)
class Annotation:
    """What an annotation file says.

    Attributes:
        image: Name of its image; used where no image is named as the annotation file is.
        size: Width and height of the image, if the file tells them.
        objects: What is in the image.
    """

    image: str
    size: Optional[tuple[int, int]]
    objects: Sequence[Object]


def read_pairs(
    form: str,
    tree: Tree,
    splits: Mapping[str, str],
    parse: Callable[[Path], Annotation],
    remarks: Counter,
) -> Source:
    """Read a data set.

    Args:
        form: Its form.
        tree: Its files.
        splits: `train`, `val` or `test` for each annotation file.
        parse: Reads one of them.
        remarks: What was met, and how often.

    Raises:
        UserError: There is nothing for training, an image isn't there or has two annotation
            files, or what `parse` raises.
    """
    remarks[_TEST] = sum(split == "test" for split in splits.values())
    parts = {split: Content() for split in ("train", "val") if split in splits.values()}
    if "train" not in parts:
        raise UserError(
            f"{tree.root}: all annotation files are of validation or test; put those for training "
            "into a folder train"
        )
    images, used = Images(tree), {}
    for file, split in splits.items():
        if split == "test":
            continue
        path = tree.root / file
        annotation = parse(path)
        image = images.find(file, annotation.image)
        if image is None:
            raise UserError(
                f"{path}: neither an image of the same name nor {annotation.image!r} is in "
                f"{tree.root}; add the image or remove the file"
            )
        if image in used:
            raise UserError(f"{path}: annotates {image} as {used[image]} does; remove one of them")
        used[image] = file
        parts[split].add_image(image, annotation.size or image_size(tree.root / image))
        for found in annotation.objects:
            parts[split].add_object(found)
    annotated = {stem(file) for file in tree.having(".xml", ".json")}
    left = [image for image in images.all.difference(used) if stem(image) not in annotated]
    remarks[_NOT_ANNOTATED] = len(left)
    return make_source(form, tree.root, parts, remarks)
