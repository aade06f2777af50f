"""Checks for objects that MMDetection's datasets drop without a message."""

from collections.abc import Iterator

import numpy as np
from mmdet.datasets import CocoDataset

from ..datasets.formats.files import is_finite
from .annotation_file import AnnotationFile
from .finding import ERROR, WARNING, Finding


def check_dropped(file: AnnotationFile) -> Iterator[Finding]:
    """Find objects that are dropped because of a key or because their image is small.

    Boxes that are dropped are reported by `check_annotations`.

    Args:
        file: The annotation file.

    Yields:
        A finding for each reason.
    """
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
        yield from _check_small_images(file)


def _check_small_images(file: AnnotationFile) -> Iterator[Finding]:
    cfg = file.dataset.cfg
    min_size = (cfg.get("filter_cfg") or {}).get("min_size", 0)
    if cfg.get("test_mode") or not min_size:
        return
    known = file.image_indices[file.image_indices >= 0]
    objects = np.bincount(known, minlength=len(file.images))
    small = [i for i, image in enumerate(file.images) if objects[i] and _side(image) < min_size]
    count = objects[small].sum()
    yield from file.findings(
        ERROR if count == objects.sum() else WARNING,
        "image-small",
        small,
        lambda index: "image {id} of {width}x{height}".format(**file.images[index]),
        f"filter_cfg=dict(min_size={min_size}) silently drops them with their {count:,} objects; "
        "set a smaller min_size to train on them",
    )


def _side(image: dict) -> float:
    sides = (image.get("width"), image.get("height"))
    return min(sides) if all(map(is_finite, sides)) else float("inf")
