"""What a detector finds in an image."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

import numpy as np
from PIL import Image

from .drawing import draw_detections
from .images import as_bgr
from .rle import encode_mask


class Detection(NamedTuple):
    """One object.

    Attributes:
        box: Left, top, right and bottom in pixels of the image, float32 `(4,)`.
        score: From 0 to 1.
        label: Index of its class.
        name: Name of its class.
        mask: Bool `(height, width)`, or None where the detector has no masks.
    """

    box: np.ndarray
    score: float
    label: int
    name: str
    mask: Optional[np.ndarray]


@dataclass(frozen=True)
class Detections:
    """The objects in one image, highest score first.

    Attributes:
        boxes: Left, top, right and bottom in pixels of the image, float32 `(N, 4)`.
        scores: From 0 to 1, float32 `(N,)`.
        labels: Index of each class in `classes`, int64 `(N,)`.
        masks: Bool `(N, height, width)`, or None where the detector has no masks.
        classes: Names of all classes.
        size: Height and width of the image in pixels.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: Optional[np.ndarray]
    classes: tuple[str, ...]
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[Detection]:
        for index, (box, score, label) in enumerate(zip(self.boxes, self.scores, self.labels)):
            mask = None if self.masks is None else self.masks[index]
            yield Detection(box, float(score), int(label), self.classes[label], mask)

    def summary(self) -> str:
        """Say how many there are, and of which class: `3 (cat 2, dog 1)`."""
        counts = Counter(item.name for item in self)
        each = ", ".join(f"{name} {count}" for name, count in counts.most_common())
        return f"{len(self)} ({each})" if counts else "0"

    def draw(self, image: Union[str, Path, np.ndarray, Image.Image]) -> Image.Image:
        """Draw boxes, names, scores and masks on the image that they were found in.

        Args:
            image: Its file, an array `(height, width, 3)` in BGR, or a PIL image; it stays as
                it is.

        Returns:
            A picture, which `save("b.jpg")` writes.
        """
        drawn = draw_detections(as_bgr(image), self)
        return Image.fromarray(np.ascontiguousarray(drawn[..., ::-1]))

    def to_coco(self, image_id: int) -> list[dict[str, Any]]:
        """Write them as COCO results.

        Args:
            image_id: Of the image.

        Returns:
            `image_id`, `category_id` (1 for the first class), `bbox` (left, top, width and height
            in pixels, to a thousandth), `score` (to five digits), and with masks `segmentation`
            (RLE).
        """
        rows: list[dict[str, Any]] = []
        for box, score, label, _, mask in self:
            left, top, right, bottom = box.tolist()
            rows.append(
                dict(
                    image_id=image_id,
                    category_id=label + 1,
                    bbox=[round(v, 3) for v in (left, top, right - left, bottom - top)],
                    score=round(score, 5),
                )
            )
            if mask is not None:
                rows[-1]["segmentation"] = dict(size=list(self.size), counts=encode_mask(mask))
        return rows
