"""Annotation files in COCO's format, read."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from .datasets import Dataset

_LISTS = ("images", "annotations", "categories")


@dataclass
class Content:
    """What an annotation file lists, each entry a dict.

    Attributes:
        images: The images.
        annotations: Their objects.
        categories: What the objects are of.
        is_secret: The annotations are left out, as for COCO's test images.
    """

    images: list
    annotations: list
    categories: list
    is_secret: bool

    @cached_property
    def image_places(self) -> np.ndarray:
        """Place of each annotation's image in the list, shape (n,); -1 for unknown ones."""
        return _places(self.annotations, "image_id", self.images)

    @cached_property
    def category_places(self) -> np.ndarray:
        """Place of each annotation's category in the list, shape (n,); -1 for unknown ones."""
        return _places(self.annotations, "category_id", self.categories)

    @cached_property
    def counts(self) -> np.ndarray:
        """Number of annotations of each category."""
        known = self.category_places[self.category_places >= 0]
        return np.bincount(known, minlength=len(self.categories))


def _places(annotations: list, key: str, entries: list) -> np.ndarray:
    places = {hashable(entry.get("id")): place for place, entry in enumerate(entries)}
    found = [places.get(hashable(annotation.get(key)), -1) for annotation in annotations]
    return np.array(found, dtype=np.int64)


def hashable(value: Any) -> Any:
    """Make a JSON value fit for a set; numbers and texts stay as they are."""
    return value if isinstance(value, (int, float, str)) else repr(value)


def read_content(dataset: Dataset) -> Content:
    """Read an annotation file.

    Raises:
        UserError: It isn't JSON, isn't in COCO's format, or lists no image.
    """
    try:
        content = json.loads(Path(dataset.ann_file).read_bytes())
    except (ValueError, OSError, RecursionError) as error:
        raise UserError(
            f"{dataset.where}: not JSON ({error}); expected COCO's instances format"
        ) from error
    is_dict = isinstance(content, dict)
    # The annotations of COCO's test images are secret.
    is_secret = bool(dataset.cfg.get("test_mode")) and is_dict and "annotations" not in content
    lists = [content.get(name, [] if is_secret else None) if is_dict else None for name in _LISTS]
    if not all(isinstance(entries, list) for entries in lists):
        raise UserError(
            f"{dataset.where}: expected COCO's lists images, annotations and categories"
        )
    for name, entries in zip(_LISTS, lists):
        for place, entry in enumerate(entries):
            if not isinstance(entry, dict):
                raise UserError(
                    f"{dataset.where}: {name}[{place}] is {str(entry)[:40]!r}, but expected an "
                    "object with an id; write the file again in COCO's instances format"
                )
    images, annotations, categories = lists
    if not images:
        raise UserError(f"{dataset.where}: the data set is empty: it lists no image")
    return Content(images, annotations, categories, is_secret)
