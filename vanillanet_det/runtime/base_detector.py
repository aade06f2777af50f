"""The base class of all detectors, which batches images and cuts large ones into tiles."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any, Optional, Union

import numpy as np

from ..errors import UserError
from .batching import map_batches, prefetch
from .images import ImageLike, PreparedImage, as_bgr
from .results import Detections
from .tiles import Tiles, stream_tiles

DEFAULT_SCORE = 0.3


class BaseDetector:
    """Base class of detectors. Subclasses implement `prepare` and `detect`.

    Args:
        classes: Class names.
        score: Score threshold for the returned detections; None for `class_scores`.
        class_scores: Score threshold of each class; () for 0.3.
        tiles: How large images are cut; None to detect in whole images.
        streams: Number of batches to compute at the same time.

    Raises:
        UserError: The score isn't between 0 and 1.
    """

    def __init__(
        self,
        classes: tuple[str, ...],
        score: Optional[float] = None,
        class_scores: Sequence[float] = (),
        tiles: Optional[Tiles] = None,
        streams: int = 1,
    ) -> None:
        if score is not None and not 0 <= score <= 1:
            raise UserError(f"score {score!r}: expected a number from 0 to 1")
        self.classes, self.tiles, self.streams = classes, tiles, streams
        self.score: Union[float, list[float]]
        if score is None and class_scores:
            self.score = list(class_scores)
        else:
            self.score = DEFAULT_SCORE if score is None else score

    def __call__(
        self, images: Union[ImageLike, Sequence[ImageLike]], batch_size: int = 4
    ) -> Union[Detections, list[Detections]]:
        """Detect objects in an image, or in each image of a list.

        Args:
            images: A file; an array, uint8 `(height, width, 3)` in BGR as in OpenCV and
                MMDetection; a PIL image; or a list of these.
            batch_size: Maximum number of images of the same shape in a batch.

        Returns:
            The detections, highest score first; for a list of images, a list of detections.

        Raises:
            UserError: An image can't be read.
        """
        is_list = isinstance(images, (list, tuple))
        found = []
        for prepared, detections in self.stream(images if is_list else [images], batch_size):
            if detections is None:
                raise UserError(prepared.error)
            found.append(detections)
        return found if is_list else found[0]

    def stream(
        self, images: Iterable[ImageLike], batch_size: int = 4
    ) -> Iterator[tuple[PreparedImage, Optional[Detections]]]:
        """Detect objects in any number of images, keeping only a few in memory at a time.

        A thread decodes images ahead of the network. Images of the same shape share a batch, also
        tiles of the same or of different images. No image is padded, so its detections don't
        depend on the other images in the batch.

        Args:
            images: Same as for `__call__`, or pairs `(name, image)`.
            batch_size: Same as for `__call__`.

        Yields:
            Each image and its detections, in order. The detections are None if the image can't be
            read; its `error` says why.

        Raises:
            UserError: The batch size isn't positive.
        """
        if batch_size < 1:
            raise UserError(f"batch size {batch_size!r}: expected a positive number")
        if self.tiles is None:
            yield from self._stream(images, batch_size)
        else:
            stream = partial(self._stream, batch_size=batch_size)
            yield from stream_tiles(stream, self.load, self.tiles, images)

    def _stream(
        self, images: Iterable, batch_size: int
    ) -> Iterator[tuple[PreparedImage, Optional[Detections]]]:
        depth = 2 * batch_size * self.streams
        # Stop the thread if the caller stops early.
        with closing(prefetch(self.prepare, images, depth)) as prepared:
            yield from map_batches(
                prepared,
                lambda item: item.shape,
                self.detect,
                batch_size,
                patience=2 * depth,
                workers=self.streams,
            )

    def load(self, image: ImageLike) -> np.ndarray:
        """Load an image as uint8 `(height, width, 3)` in BGR."""
        return as_bgr(image)

    def is_chosen(self, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return which detections reach the score threshold of their class.

        Args:
            scores: Scores `(N,)`.
            labels: Class indices `(N,)`.
        """
        thresholds = np.asarray(self.score, scores.dtype)
        return scores >= (thresholds[labels] if thresholds.ndim else thresholds)

    def prepare(self, source: Any) -> PreparedImage:
        """Load an image and turn it into the network's input."""
        raise NotImplementedError

    def detect(self, images: list[PreparedImage]) -> list[Detections]:
        """Detect objects in images of the same shape."""
        raise NotImplementedError
