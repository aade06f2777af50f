"""The objects that MMDetection trains on and evaluates, which may be none of a class."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from pycocotools import mask

from ..datasets.formats.raw_dataset import CROWD_REMEDY
from ..errors import some
from .annotation_file import AnnotationFile, image_size
from .classes import read_classes
from .finding import WARNING, Finding

_MAX_CROWDS = 0.5  # of a class; COCO has 1 %


@dataclass(frozen=True)
class Objects:
    """The annotations of a dataset, as MMDetection's CocoDataset reads them.

    Attributes:
        file: The annotation file.
    """

    file: AnnotationFile

    @cached_property
    def is_used(self) -> np.ndarray:
        """Whether each annotation belongs to a listed image and a class of the config."""
        names = self.file.category_names
        classes = read_classes(self.file.dataset, names)[1]
        # The last entry is for annotations whose category is not listed.
        used = np.array([*(classes is None or name in classes for name in names), False])
        return used[self.file.category_indices] & (self.file.image_indices >= 0)

    @cached_property
    def is_crowd(self) -> np.ndarray:
        """Whether each annotation is a crowd, which counts neither as detected nor as missed."""
        return np.array([bool(each.get("iscrowd")) for each in self.file.annotations], dtype=bool)

    @cached_property
    def is_dropped(self) -> np.ndarray:
        """Whether CocoDataset skips each annotation or its image, whatever its class."""
        (x, y, w, h), bad = self.file.boxes[0].T, self.file.boxes[1]
        width, height = self.file.sides
        with np.errstate(invalid="ignore"):
            inside = (np.minimum(x + w, width) > np.maximum(x, 0)) & (
                np.minimum(y + h, height) > np.maximum(y, 0)
            )
            sound = inside & (w >= 1) & (h >= 1) & (self.file.areas[0] > 0)
        ignored = [bool(each.get("ignore")) for each in self.file.annotations]
        filtered = self.small_images[self.file.image_indices]
        return ~sound | bad | self.file.areas[1] | np.array(ignored, dtype=bool) | filtered

    @property
    def min_size(self) -> float:
        """Shortest side in pixels of the images that are kept."""
        cfg = self.file.dataset.cfg
        return 0 if cfg.get("test_mode") else (cfg.get("filter_cfg") or {}).get("min_size", 0)

    @cached_property
    def small_images(self) -> np.ndarray:
        """Whether each image is dropped, since a side is known to be shorter than `min_size`."""
        sides = np.array([min(image_size(image)) for image in self.file.images])
        return (sides > 0) & (sides < self.min_size)

    @cached_property
    def is_learned(self) -> np.ndarray:
        """Whether a detector learns each annotation, or is evaluated on it."""
        return self.is_used & ~self.is_crowd & ~self.is_dropped

    def count(self, chosen: np.ndarray) -> dict[str, int]:
        """Count the chosen annotations of each class that has annotations."""
        used, names = self.is_used, self.file.category_names
        every, some = (
            np.bincount(self.file.category_indices[which], minlength=len(names))
            for which in (used, used & chosen)
        )
        return {name: int(n) for name, total, n in zip(names, every, some) if total}

    def count_by_image(self, by_class: bool = False) -> np.ndarray:
        """Count the learned objects of each image, or of each image and class."""
        index, number = self.file.image_indices, len(self.file.images)
        if by_class:
            index = index + number * self.file.category_indices
            number *= len(self.file.categories)
        return np.bincount(index[self.is_learned], minlength=number)

    def count_overlapping(self, iou_threshold: float) -> int:
        """Count the objects that NMS drops, if all objects are detected perfectly.

        Equal boxes, which are duplicates rather than objects, are not counted.
        """
        chosen = np.flatnonzero(self.is_learned)
        boxes, order = self.file.boxes[0][chosen], self.file.image_indices[chosen]
        order = order + len(self.file.images) * self.file.category_indices[chosen]
        boxes = boxes[np.argsort(order, kind="stable")]
        ends = np.cumsum(np.unique(order, return_counts=True)[1])[:-1]
        return sum(_count_lost(part, iou_threshold) for part in np.split(boxes, ends))


def _count_lost(boxes: np.ndarray, iou_threshold: float) -> int:
    if len(boxes) < 2:
        return 0
    overlaps = mask.iou(boxes, boxes, [0] * len(boxes)) > iou_threshold
    if np.count_nonzero(overlaps) == len(boxes):  # each with itself
        return 0
    overlaps &= (boxes[:, None] != boxes).any(axis=2)
    return int(np.triu(overlaps).any(axis=0).sum())


def check_objects(objects: Objects) -> Iterator[Finding]:
    """Check that classes don't consist of crowds, or of boxes that MMDetection drops.

    Args:
        objects: The annotations of a dataset.
    """
    file = objects.file
    if (objects.is_crowd | objects.is_dropped | ~objects.is_used).all():
        return  # one finding about all of them, elsewhere
    everything = objects.count(objects.is_used)
    left = objects.count(objects.is_learned)
    is_training = file.dataset.key.startswith("train")
    consequence = "never learned" if is_training else "not evaluated"
    crowds = {
        name: count
        for name, count in objects.count(objects.is_crowd & ~objects.is_dropped).items()
        if count > _MAX_CROWDS * everything[name]
    }
    if crowds:
        lost = [name for name in crowds if not left[name]]
        message = (
            f"{file.dataset.where}: most annotations of "
            f"{_shares(crowds, everything)} are crowds (iscrowd=1; Pascal VOC: difficult=1), which "
            "MMDetection ignores"
            + (f"; {consequence}: {some(lost, 5)}" if lost else "")
            + f"; {CROWD_REMEDY}"
        )
        yield Finding(WARNING, "class-crowd", message, len(crowds))
    dropped = {
        name: count
        for name, count in objects.count(objects.is_dropped).items()
        if count and not left[name] and name not in crowds
    }
    if dropped:
        message = (
            f"{file.dataset.where}: MMDetection drops all boxes of "
            f"{_shares(dropped, everything)}: they are thinner than a pixel, outside the image, "
            "without area, marked ignore, or in an image that is too small. So these classes are "
            f"{consequence}; correct the boxes"
        )
        yield Finding(WARNING, "class-dropped", message, len(dropped))


def _shares(counts: dict[str, int], everything: dict[str, int]) -> str:
    return some([f"{name} ({n:,} of {everything[name]:,})" for name, n in counts.items()], 5)


def check_splits(datasets: Sequence[Objects]) -> Iterator[Finding]:
    """Check that classes have objects both in training and in validation.

    Args:
        datasets: The annotations of all datasets that are used for training and evaluation.
    """
    train, val = (
        [each for each in datasets if each.file.dataset.key.startswith(part)]
        for part in ("train", "val")
    )
    if not train or not val:
        return
    trained, validated = (_learned(part) for part in (train, val))
    if not trained or not validated:  # an error elsewhere
        return
    known = {name for each in train for name in each.count(each.is_used)}
    untrained = [name for name in validated if name not in trained]
    if untrained:
        message = (
            f"{val[0].file.dataset.where}: has {some(untrained, 5)}, but no training image does, "
            "so their AP will be 0; add training images of them, or remove the classes"
        )
        yield Finding(WARNING, "class-untrained", message, len(untrained))
    unvalidated = [name for name in trained if name not in validated and name in known]
    if unvalidated:
        message = (
            f"{val[0].file.dataset.where}: has no object of {some(unvalidated, 5)}, so AP and the "
            "choice of the best checkpoint leave these classes out; add validation images"
        )
        yield Finding(WARNING, "class-unvalidated", message, len(unvalidated))


def _learned(datasets: Sequence[Objects]) -> list[str]:
    counts = [each.count(each.is_learned) for each in datasets]
    return list(dict.fromkeys(name for part in counts for name, count in part.items() if count))
