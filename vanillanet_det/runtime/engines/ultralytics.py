"""Inputs and outputs of files that Ultralytics exports.

Their input is float, RGB, from 0 to 1, with the image in the middle of a grey square. For each of
A places, their output is a box, as centre and size, a score per class, and the coefficients of a
mask; with NMS inside the file, boxes, the best score, and its class.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from ...errors import UserError
from .base import Engine


class UltralyticsEngine:
    """An engine with a file of Ultralytics, with inputs and outputs like our files'; see `Engine`.

    Args:
        engine: The engine that opened the file.

    Attributes:
        multi_label: Whether a place may have several classes, as in Ultralytics' evaluation; its
            prediction has the best one alone.
    """

    multi_label = False

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.metadata, self.name = engine.metadata, engine.name
        self.precision = engine.precision
        self._dtype = np.float16 if self.metadata.precision == "fp16" else np.float32

    def run(self, images: np.ndarray) -> dict[str, Any]:
        """Return boxes, scores, labels and, for segmentation, masks of each image.

        Args:
            images: uint8 `(N, height, width, 3)`, BGR.

        Returns:
            Arrays `(N, A, 4)`, `(N, A)` and `(N, A)`; `masks` is a list of `Masks`.
        """
        values = images[..., ::-1].transpose(0, 3, 1, 2).astype(self._dtype)
        outputs = self._engine.run(np.ascontiguousarray(values / self._dtype(255)))
        found = np.asarray(outputs.get("output0", ()), np.float32)
        count = len(self.metadata.classes)
        axis, least = (2, 6) if self.metadata.nms_inside else (1, 4 + count)
        if found.ndim != 3 or found.shape[axis] < least:
            raise UserError(
                f"the file's output0 has the shape {found.shape}; expected at least {least} values "
                f"in dimension {axis}, for {count} classes; export it again"
            )
        if self.metadata.nms_inside:
            boxes, scores, labels, rest = np.split(found, (4, 5, 6), axis=2)
            # Empty places have a score of 0.
            labels = np.where(scores > 0, labels, -1)
            best = scores[..., 0], labels[..., 0].astype(np.int64)
        else:
            found = found.transpose(0, 2, 1)
            middle, size, scores, rest = np.split(found, (2, 4, 4 + count), axis=2)
            boxes = np.concatenate([middle - size / 2, middle + size / 2], axis=2)
            if self.multi_label:
                boxes, scores, labels, rest = self._every_class(boxes, scores, rest)
                best = scores, labels
            else:
                best = scores.max(axis=2), scores.argmax(axis=2)
        result = dict(zip(("boxes", "scores", "labels"), (boxes, *best)))
        if self.metadata.mask_stride is not None:
            prototypes = np.asarray(outputs["output1"], np.float32)
            result["masks"] = [Masks(*each) for each in zip(rest, prototypes)]
        return result

    def _every_class(self, *arrays: np.ndarray) -> Iterable[tuple[np.ndarray, ...]]:
        """Return boxes, scores, labels and the rest of each image, one row for each class."""
        images = []
        for boxes, scores, rest in zip(*arrays):
            places, labels = np.nonzero(scores > self.metadata.score_threshold)
            images.append((boxes[places], scores[places, labels], labels, rest[places]))
        return zip(*images)


class Masks:
    """The masks of an image, computed for those detections that are asked for.

    Args:
        coefficients: Float32 `(A, K)`.
        prototypes: Float32 `(K, h, w)`.
    """

    def __init__(self, coefficients: np.ndarray, prototypes: np.ndarray) -> None:
        self._coefficients, self._prototypes = coefficients, prototypes

    def __getitem__(self, chosen: np.ndarray) -> np.ndarray:
        """Return logits `(N, h, w)`."""
        return np.tensordot(self._coefficients[chosen], self._prototypes, axes=1)
