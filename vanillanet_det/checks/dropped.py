"""Checks for objects that MMDetection's datasets drop without a message."""

from collections.abc import Iterator

import numpy as np
from mmdet.datasets import CocoDataset

from .finding import ERROR, WARNING, Finding
from .objects import Objects


def check_dropped(objects: Objects) -> Iterator[Finding]:
    """Find objects that are dropped because of a key or because their image is small.

    Boxes that are dropped are reported by `check_annotations`.

    Args:
        objects: The objects of a dataset.

    Yields:
        A finding for each reason.
    """
    file = objects.file
    kind = file.dataset.kind
    if getattr(kind, "parse_data_info", None) is CocoDataset.parse_data_info:
        yield from file.findings(
            WARNING,
            "annotation-ignored",
            [i for i, annotation in enumerate(file.annotations) if annotation.get("ignore")],
            lambda index: f"{file.name(index)} has ignore={file.annotations[index]['ignore']!r}",
            "MMDetection silently drops such annotations; to exclude regions from training, set "
            "iscrowd=1 instead",
        )
    if getattr(kind, "filter_data", None) is CocoDataset.filter_data:
        yield from _check_small_images(objects)


def _check_small_images(objects: Objects) -> Iterator[Finding]:
    file = objects.file
    known = file.image_indices[file.image_indices >= 0]
    counts = np.bincount(known, minlength=len(file.images))
    small = np.flatnonzero((counts > 0) & objects.small_images)
    count = counts[small].sum()
    yield from file.findings(
        ERROR if count == counts.sum() else WARNING,
        "image-small",
        small,
        lambda index: "image {id} is {width}x{height}".format(**file.images[index]),
        f"filter_cfg=dict(min_size={objects.min_size}) silently drops such images, with {count:,} "
        "objects; set a smaller min_size to train on them",
    )
