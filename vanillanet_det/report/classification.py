"""Writes the report of a classifier as a single HTML file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional, Union

import numpy as np
from PIL import Image

from ..errors import UserError
from ..fileio import atomic_write
from .charts import WIDTH
from .curves import Curves
from .encoding import jpeg_url
from .html import draw_charts, template

_MAX_MATRIX = 20  # classes in the confusion matrix
_MAX_IMAGES = 8  # in each gallery
_SIDE = 144  # of an image in CSS pixels
_OPACITY = 0.5


@dataclass(frozen=True)
class ClassRow:
    """How well a class is recognised.

    Attributes:
        name: Its name.
        images: Number of its images.
        accuracy: Share of its images that are classified as it; None without images.
        precision: Share of the images classified as it that are of it; None without any.
        confused: The class that its images are most often taken for, with their number; ''
            for none.
    """

    name: str
    images: int
    accuracy: Optional[float]
    precision: Optional[float]
    confused: str


@dataclass(frozen=True)
class ClassifiedImage:
    """An image of the gallery.

    Attributes:
        name: File name.
        pixels: The image as the network sees it, `(H, W, 3)`, uint8, RGB.
        heat: Where the network sees the class that it predicts, `(H, W)` from 0 to 1; None if
            unknown.
    """

    name: str
    pixels: np.ndarray
    heat: Optional[np.ndarray] = None


@dataclass(frozen=True)
class _Drawing:
    name: str
    image: str
    map: Optional[str]
    note: str


def confusion_matrix(predicted: np.ndarray, targets: np.ndarray, count: int) -> np.ndarray:
    """Count the images of each class, in rows, by the predicted class."""
    matrix = np.zeros((count, count), np.int64)
    np.add.at(matrix, (targets, predicted), 1)
    return matrix


def class_rows(matrix: np.ndarray, classes: Sequence[str]) -> list[ClassRow]:
    """Summarise a confusion matrix for each class."""
    rows = []
    for index, name in enumerate(classes):
        right, images, found = matrix[index, index], matrix[index].sum(), matrix[:, index].sum()
        others = matrix[index].copy()
        others[index] = 0
        worst = int(others.argmax())
        rows.append(
            ClassRow(
                str(name),
                int(images),
                float(right / images) if images else None,
                float(right / found) if found else None,
                f"{classes[worst]} ({others[worst]:,})" if others[worst] else "",
            )
        )
    return rows


def write_classification_report(
    path: Union[str, Path],
    title: str,
    classes: Sequence[str],
    logits: np.ndarray,
    targets: np.ndarray,
    forms: Mapping[str, tuple[float, Optional[float]]],
    curves: Mapping[str, Curves],
    facts: Sequence[tuple[str, str]],
    show: Callable[[int, int], ClassifiedImage],
    note: str,
) -> None:
    """Write a report as a single, self-contained HTML file.

    Args:
        path: The file, which is replaced atomically.
        title: Title of the report.
        classes: Class names.
        logits: What the network finds in each image, `(N, classes)`.
        targets: The class of each image, `(N,)`.
        forms: Top-1 and top-5 accuracy of each form of the network, the reported one first; None
            for a top-5 accuracy of five classes or fewer.
        curves: Curves of the run by name.
        facts: Names and values to show in the header.
        show: Function that returns an image by its number, with the heat of a class.
        note: What the right images of the galleries are.

    Raises:
        UserError: The file can't be written.
    """
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = shifted / shifted.sum(axis=1, keepdims=True)
    predicted = logits.argmax(axis=1)
    matrix = confusion_matrix(predicted, targets, len(classes))
    right = predicted == targets
    order = np.argsort(-shares.max(axis=1), kind="stable")
    chosen = {
        "Wrong, and most certain": [index for index in order if not right[index]],
        "Right, but least certain": [index for index in order[::-1] if right[index]],
        "Right, and most certain": [index for index in order if right[index]],
    }
    galleries = {
        heading: [
            _draw(show(int(i), int(predicted[i])), classes, shares[i], int(targets[i]))
            for i in indices[:_MAX_IMAGES]
        ]
        for heading, indices in chosen.items()
    }
    (top1, top5), *_ = forms.values()
    text = template("classification.html.jinja").render(
        title=title,
        facts=facts,
        top1=top1,
        top5=top5,
        images=len(targets),
        forms=[(name, *accuracies) for name, accuracies in forms.items()],
        charts=draw_charts(curves),
        width=WIDTH,
        rows=class_rows(matrix, classes),
        matrix=matrix if len(classes) <= _MAX_MATRIX else None,
        galleries=galleries,
        side=_SIDE,
        note=note,
    )
    try:
        with atomic_write(path) as file:
            # File names may contain bytes that aren't UTF-8.
            file.write(text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise UserError(f"{path}: can't be written ({error.strerror or error})") from error


def _draw(
    image: ClassifiedImage, classes: Sequence[str], shares: np.ndarray, target: int
) -> _Drawing:
    found = int(shares.argmax())
    note = f"{classes[found]}, {shares[found]:.0%}"
    if found != target:
        note += f"; is {classes[target]}, {shares[target]:.0%}"
    heat = None if image.heat is None else jpeg_url(_overlay(image.pixels, image.heat))
    return _Drawing(image.name, jpeg_url(Image.fromarray(image.pixels)), heat, note)


def _overlay(pixels: np.ndarray, heat: np.ndarray) -> Image.Image:
    from matplotlib import colormaps

    colours = 255 * colormaps["inferno"](heat)[..., :3]
    mixed = pixels * (1 - _OPACITY) + colours * _OPACITY
    return Image.fromarray(mixed.astype(np.uint8))
