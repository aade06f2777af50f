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
        is_secret: There are no annotations on purpose, as for COCO's test images.
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
        UserError: It can't be read, isn't JSON in UTF-8, isn't in COCO's format, or lists no image.
    """
    text = _read_text(dataset)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{dataset.where}: not JSON ({error}); expected COCO's instances format"
        ) from error
    is_dict = isinstance(content, dict)
    # The annotations of COCO's test images are secret, and pictures of one's own may have none.
    # Validation without any would choose the best checkpoint by nothing.
    tests = bool(dataset.cfg.get("test_mode")) and not dataset.key.startswith("val")
    is_secret = tests and is_dict and content.get("annotations", []) == []
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


def _read_text(dataset: Dataset) -> str:
    """Read a file as pycocotools does, which doesn't guess the encoding as Python's JSON does."""
    try:
        content = Path(dataset.ann_file).read_bytes()
    except OSError as error:
        raise UserError(
            f"{dataset.where}: can't be read ({error.strerror or error}); make it readable, or "
            "name another ann_file"
        ) from error
    encoding = json.detect_encoding(content)
    try:
        if encoding == "utf-8":
            return content.decode(encoding)
        found = "UTF-8 with a byte order mark" if encoding == "utf-8-sig" else encoding.upper()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        found = f"no UTF-8 (byte {error.start} in line {line} is {content[error.start]:#04x})"
    raise UserError(
        f"{dataset.where}: its text is {found}, but MMDetection reads UTF-8 without a byte order "
        "mark (BOM); save it as UTF-8 without BOM"
    )
