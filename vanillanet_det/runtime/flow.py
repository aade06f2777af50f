"""The way of images through a detector, whatever it computes with."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Optional, Union

import numpy as np

from ..errors import UserError
from .images import ImageLike
from .results import Detections
from .stream import ahead, in_groups


@dataclass
class Prepared:
    """An image on its way through the detector.

    Attributes:
        source: What was given.
        image: Its pixels, uint8 `(height, width, 3)` in BGR; None if it can't be read.
        error: Why it can't.
        data: What the network takes, until it has been through it.
        shape: Shape of that, alike for images that pass together; None if nothing does.
    """

    source: Any
    image: Optional[np.ndarray] = None
    error: str = ""
    data: Any = None
    shape: Optional[Hashable] = None


class BaseDetector:
    """Finds objects in images.

    Args:
        classes: Names of its classes.
        score: The least score of what is returned.
        streams: Groups of images that are computed at the same time.

    Raises:
        UserError: The score isn't from 0 to 1.
    """

    def __init__(self, classes: tuple[str, ...], score: float, streams: int = 1) -> None:
        if not 0 <= score <= 1:
            raise UserError(f"score {score!r}: expected a number from 0 to 1")
        self.classes, self.score, self.streams = classes, score, streams

    def __call__(
        self, images: Union[ImageLike, Sequence[ImageLike]], batch_size: int = 4
    ) -> Union[Detections, list[Detections]]:
        """Find objects in an image, or in each of a list.

        Args:
            images: A file; an array, uint8 `(height, width, 3)` in BGR as OpenCV and MMDetection
                have it; a PIL image; or a list of these.
            batch_size: Images, of those that have the same shape, that pass together.

        Returns:
            The detections, highest score first; a list of them for a list.

        Raises:
            UserError: An image can't be read.
        """
        several = isinstance(images, (list, tuple))
        found = []
        for prepared, detections in self.stream(images if several else [images], batch_size):
            if detections is None:
                raise UserError(prepared.error)
            found.append(detections)
        return found if several else found[0]

    def stream(
        self, images: Iterable[ImageLike], batch_size: int = 4
    ) -> Iterator[tuple[Prepared, Optional[Detections]]]:
        """Find objects in images one after another, few of which are in memory at a time.

        They are decoded in a thread, ahead of the network, and images of one shape pass it
        together: none is padded, so its detections don't depend on its neighbours.

        Args:
            images: As for a call; pairs `(name, image)` will do, too.
            batch_size: As for a call.

        Yields:
            Each image and its detections, in order; None for one that can't be read, whose
            `error` says why.

        Raises:
            UserError: The batch size is no positive number.
        """
        if batch_size < 1:
            raise UserError(f"batch size {batch_size!r}: expected a positive number")
        # Whoever ends this early ends the thread, too.
        with closing(ahead(self.prepare, images, depth=2 * batch_size * self.streams)) as prepared:
            yield from in_groups(
                prepared,
                lambda item: item.shape,
                self.detect,
                batch_size,
                patience=4 * batch_size * self.streams,
                workers=self.streams,
            )

    def prepare(self, source: Any) -> Prepared:
        """Load an image and bring it into the form that the network takes."""
        raise NotImplementedError

    def detect(self, images: list[Prepared]) -> list[Detections]:
        """Pass images of one shape through the network."""
        raise NotImplementedError
