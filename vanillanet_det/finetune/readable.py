"""Leaves out images that can't be decoded; readers of datasets only open their headers."""

from collections import Counter
from dataclasses import replace

from ..checks import unreadable_images
from ..datasets.formats import RawDataset
from ..datasets.formats.raw_dataset import is_learned
from ..datasets.formats.remarks import Remarks, Skipped
from ..errors import UserError


def drop_unreadable(source: RawDataset) -> tuple[RawDataset, list[str]]:
    """Decode all images of a dataset, and drop those that can't be read, with their objects.

    Args:
        source: The dataset, which is not modified.

    Returns:
        The dataset without these images, and remarks about them.

    Raises:
        UserError: No image is left to learn from, or to validate on.
    """
    remarks = Remarks(skip_missing=True)
    splits = dict(train=source.train)
    if source.val is not None:
        splits["val"] = source.val
    kept = {name: _drop(source, name, content, remarks) for name, content in splits.items()}
    skipped = Skipped(*(a + b for a, b in zip(source.skipped, remarks.skipped)))
    sentences = remarks.sentences()
    source = replace(source, **kept, remarks=(*source.remarks, *sentences), skipped=skipped)
    return source, sentences


def _drop(source: RawDataset, split: str, content: dict, remarks: Remarks) -> dict:
    unreadable = unreadable_images(str(source.root), content["images"])
    if not unreadable:
        return content
    ids = {image["id"] for image in unreadable}
    annotations = [each for each in content["annotations"] if each["image_id"] not in ids]
    images = [each for each in content["images"] if each["id"] not in ids]
    objects = Counter(each["image_id"] for each in content["annotations"])
    for image in unreadable:
        count = objects[image["id"]]
        remarks.missing("Images that can't be read", image["file_name"], images=1, objects=count)
    if not any(map(is_learned, annotations)):
        name = "training" if split == "train" else "validation"
        raise UserError(
            f"{source.root}: {len(unreadable):,} of {len(content['images']):,} {name} images "
            "can't be read, and the others have no objects; replace these files"
        )
    return dict(content, images=images, annotations=annotations)
