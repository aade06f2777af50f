"""How many detections of an image count: COCO's 100, or more if images have more objects."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Optional

import numpy as np
from mmengine.logging import print_log

MAX_DETECTIONS = 100  # COCO's, whose images have fewer objects
_MARGIN = 1.5  # of detections over objects, since some detections are wrong


def detections_needed(most: int) -> int:
    """Return how many detections to keep if an image has at most this many objects.

    Returns:
        100, as in COCO; for images with more objects, half as many again, rounded up to hundreds.
    """
    return MAX_DETECTIONS if most <= MAX_DETECTIONS else 100 * math.ceil(_MARGIN * most / 100)


def most_objects(
    annotations: Iterable[Mapping[str, Any]],
    images: Optional[Collection] = None,
    categories: Optional[Collection] = None,
    by_class: bool = True,
) -> int:
    """Return the largest number of objects in an image, not counting crowds.

    Args:
        annotations: COCO's annotations.
        images: Ids of the images that count; None for all.
        categories: Ids of the categories that count; None for all.
        by_class: Whether to return the largest number of objects of a class in an image.
    """
    counts = Counter(
        (each["image_id"], each["category_id"] if by_class else None)
        for each in annotations
        if not each.get("iscrowd")
        and (images is None or each["image_id"] in images)
        and (categories is None or each["category_id"] in categories)
    )
    return max(counts.values(), default=0)


class EnoughDetections:
    """Mixin of COCOeval whose AP counts enough detections for the objects of each image.

    COCOeval's AP counts the first 100 detections of a class in an image, so perfect detections of
    180 objects have an AP of 0.55. If an image has more than 100 objects of a class, AP counts the
    smallest sufficient number in `params.maxDets`, whose last value is raised if none suffices.
    """

    def evaluate(self) -> None:
        """Match detections and objects, after choosing how many detections count."""
        params = self.params
        self.most = most_objects(
            self.cocoGt.dataset["annotations"],
            set(params.imgIds),
            set(params.catIds) if params.useCats else None,
            bool(params.useCats),
        )
        needed = detections_needed(self.most)
        if needed > MAX_DETECTIONS and needed > max(params.maxDets):
            params.maxDets = [*sorted(params.maxDets)[:-1], needed]
        self.counted = min((n for n in params.maxDets if n >= needed), default=MAX_DETECTIONS)
        super().evaluate()

    def summarize(self) -> None:
        """Compute the metrics; the first one is AP."""
        super().summarize()
        if self.most <= MAX_DETECTIONS or self.counted == MAX_DETECTIONS:
            return
        values = self.eval["precision"][:, :, :, 0, list(self.params.maxDets).index(self.counted)]
        self.stats[0] = np.mean(values[values > -1]) if (values > -1).any() else -1
        print_log(
            f"mAP counts {self.counted} detections of a class in an image instead of "
            f"{MAX_DETECTIONS}, since an image has {self.most} objects of a class: "
            f"{self.stats[0]:0.3f}",
            "current",
        )
