"""Reads annotation files in COCO format for the checks."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Callable

import numpy as np

from ..datasets.formats import describe_file
from ..datasets.formats.files import is_finite
from ..datasets.formats.json_files import without_collecting
from ..errors import UserError
from .datasets import Dataset
from .finding import Finding, and_more

_LISTS = ("images", "annotations", "categories")


@dataclass
class AnnotationFile:
    """The entries of a dataset's annotation file, each of which is a dict.

    Attributes:
        dataset: The dataset.
        images: The images.
        annotations: The annotated objects.
        categories: The object categories.
        is_unlabeled: Whether annotations are withheld on purpose, as for COCO's test images.
    """

    dataset: Dataset
    images: list
    annotations: list
    categories: list
    is_unlabeled: bool

    @cached_property
    def image_indices(self) -> np.ndarray:
        """Index of each annotation's image, shape (n,); -1 if the image is not listed."""
        return _indices(self.annotations, "image_id", self.images)

    @cached_property
    def category_indices(self) -> np.ndarray:
        """Index of each annotation's category, shape (n,); -1 if the category is not listed."""
        return _indices(self.annotations, "category_id", self.categories)

    @cached_property
    def category_counts(self) -> np.ndarray:
        """Number of annotations in each category."""
        known = self.category_indices[self.category_indices >= 0]
        return np.bincount(known, minlength=len(self.categories))

    @cached_property
    def boxes(self) -> tuple[np.ndarray, np.ndarray]:
        """Each annotation's box, shape (n, 4), and which of them aren't four numbers, shape (n,).

        Boxes that aren't four numbers are NaN.
        """
        return _numbers([annotation.get("bbox") for annotation in self.annotations], 4)

    @cached_property
    def areas(self) -> tuple[np.ndarray, np.ndarray]:
        """Each annotation's area, and which of them aren't a number and so are NaN; shapes (n,)."""
        areas, bad = _numbers([[annotation.get("area")] for annotation in self.annotations], 1)
        return areas[:, 0], bad

    @cached_property
    def sides(self) -> np.ndarray:
        """Width and height of each annotation's image, shape (2, n); 0 if unknown."""
        sizes = np.array([image_size(image) for image in self.images], dtype=float)
        return np.where(self.image_indices >= 0, sizes[self.image_indices].T, 0.0)

    @property
    def category_names(self) -> list[str]:
        """Name of each category."""
        return [str(category.get("name")) for category in self.categories]

    def name(self, index: int) -> str:
        """Describe an annotation by its id and its image, for messages."""
        annotation = self.annotations[index]
        return f"annotation {annotation.get('id')} of image {annotation.get('image_id')}"

    def findings(
        self,
        level: str,
        code: str,
        indices: Sequence[int],
        describe: Callable[[int], str],
        remedy: str,
    ) -> list[Finding]:
        """Report all entries with the same mistake as one finding.

        Args:
            level: Level of the finding.
            code: Code of the finding.
            indices: Indices of the entries.
            describe: Function that describes the entry at an index; called for the first entry.
            remedy: How to fix the mistake.

        Returns:
            One finding, or no finding if `indices` is empty.
        """
        if not len(indices):
            return []
        example = and_more(describe(int(indices[0])), len(indices))
        message = f"{self.dataset.where}: {example}; {remedy}"
        return [Finding(level, code, message, len(indices))]


def _indices(annotations: list, key: str, entries: list) -> np.ndarray:
    indices = {hashable(entry.get("id")): index for index, entry in enumerate(entries)}
    found = [indices.get(hashable(annotation.get(key)), -1) for annotation in annotations]
    return np.array(found, dtype=np.int64)


def image_size(image: dict) -> tuple[float, float]:
    """Return the width and height in pixels, with 0 for values that aren't positive numbers."""
    sides = (image.get("width"), image.get("height"))
    return tuple(s if is_finite(s) and s > 0 else 0 for s in sides)


def _numbers(rows: list, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Convert lists from a JSON file to an array.

    Returns:
        Values, shape (n, length), with NaN in rows that don't consist of `length` finite numbers;
        and a mask of these rows, shape (n,).
    """
    try:
        raw = np.array(rows)
    except ValueError:  # the rows have different lengths
        raw = np.array(None)
    # NumPy would convert strings such as '12.5' to numbers, which MMDetection can't.
    if raw.shape == (len(rows), length) and raw.dtype.kind in "iuf":
        values = raw.astype(float)
    else:
        values = np.full((len(rows), length), np.nan)
        for index, row in enumerate(rows):
            if isinstance(row, list) and [*map(is_finite, row)] == [True] * length:
                values[index] = row
    bad = ~np.isfinite(values).all(axis=1)
    values[bad] = np.nan
    return values, bad


def hashable(value: Any) -> Any:
    """Return a JSON value in a hashable form; numbers and strings are unchanged."""
    return value if isinstance(value, (int, float, str)) else repr(value)


def read_annotation_file(dataset: Dataset) -> AnnotationFile:
    """Read a dataset's annotation file.

    Raises:
        UserError: The file can't be read, isn't UTF-8 JSON in COCO format, or lists no images.
    """
    text = _read_text(dataset)
    try:
        with without_collecting():
            content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{dataset.where}: is not valid JSON ({error}); expected COCO's instances format"
        ) from error
    is_dict = isinstance(content, dict)
    # COCO's test annotations are not public, and a user's test images may have no annotations.
    # Validation needs annotations: without them, it would choose the best checkpoint at random.
    is_test = bool(dataset.cfg.get("test_mode")) and not dataset.key.startswith("val")
    unlabeled = is_test and is_dict and content.get("annotations", []) == []
    lists = [content.get(name, [] if unlabeled else None) if is_dict else None for name in _LISTS]
    path = Path(dataset.ann_file)
    if not all(isinstance(entries, list) for entries in lists):
        known = describe_file(path)
        raise UserError(
            f"{dataset.where}: expected COCO's lists images, annotations and categories"
            + (f"; {known}" if known else "")
        )
    for name, entries in zip(_LISTS, lists):
        for index, entry in enumerate(entries):
            if not isinstance(entry, dict):
                raise UserError(
                    f"{dataset.where}: {name}[{index}] is {str(entry)[:40]!r}; expected an "
                    "object with an id; export the file again in COCO's instances format"
                )
    images, annotations, categories = lists
    if annotations and "segments_info" in annotations[0]:  # COCO panoptic has these lists, too
        raise UserError(f"{dataset.where}: expected COCO's instances; {describe_file(path)}")
    if not images:
        raise UserError(f"{dataset.where}: the dataset is empty: the file lists no images")
    return AnnotationFile(dataset, images, annotations, categories, unlabeled)


def _read_text(dataset: Dataset) -> str:
    """Read a file as pycocotools does: unlike json.loads, it doesn't detect the encoding."""
    try:
        content = Path(dataset.ann_file).read_bytes()
    except OSError as error:
        raise UserError(
            f"{dataset.where}: can't be read ({error.strerror or error}); make it readable, or "
            "set another ann_file"
        ) from error
    encoding = json.detect_encoding(content)
    try:
        if encoding == "utf-8":
            return content.decode(encoding)
        found = "UTF-8 with a byte order mark" if encoding == "utf-8-sig" else encoding.upper()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        found = f"not UTF-8 (byte {error.start} in line {line} is {content[error.start]:#04x})"
    raise UserError(
        f"{dataset.where}: its encoding is {found}, but MMDetection reads UTF-8 without a byte "
        "order mark (BOM); save the file as UTF-8 without BOM"
    )
