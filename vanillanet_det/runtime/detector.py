"""A detector that runs an exported file."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, Optional, Union

import numpy as np

from ..errors import UserError
from .base_detector import BaseDetector
from .engines import open_engine
from .images import ImageLike, PreparedImage
from .masks import crop_masks, enlarge_masks, paste_masks
from .nms import suppress
from .preprocessing import check_size, find_offset, find_size, fit
from .results import Detections
from .tiles import Tiles


class Detector(BaseDetector):
    """Detector that runs an exported file; several threads may call it at the same time.

    Args:
        path: A detector's `.onnx` file, or its `.xml` file with the `.bin` file beside it.
        score: Score threshold for the returned detections, from 0 to 1; None for the file's
            thresholds, one for each class, or 0.3 if it has none.
        engine: `onnxruntime` or `openvino`; None selects one by the file, see `open_engine`.
        device: `cpu`; for ONNX Runtime also `cuda` or `cuda:1`, for OpenVINO `gpu` or `gpu:1`.
        threads: Number of CPU threads; None leaves it to the engine.
        streams: Number of batches to compute at the same time; they share the threads.
        tiles: How large images are cut; None cuts them as the file says, and False never.

    Raises:
        UserError: The file, the engine or the device can't be used, or the file isn't a detector.

    Example:
        >>> detector = Detector("detector.onnx")
        >>> found = detector("a.jpg")
        >>> [(item.name, item.score, item.box) for item in found]
        >>> found.draw("a.jpg").save("drawn.jpg")
    """

    def __init__(
        self,
        path: Union[str, Path],
        score: Optional[float] = None,
        engine: Optional[str] = None,
        device: str = "cpu",
        threads: Optional[int] = None,
        streams: int = 1,
        tiles: Union[Tiles, Literal[False], None] = None,
    ) -> None:
        self.engine = open_engine(path, engine, device, threads, streams)
        self.metadata = self.engine.metadata
        if self.metadata.kind != "detector":
            raise UserError(
                f"{path}: is a {self.metadata.kind}'s file, which outputs features but no boxes; "
                "export the whole detector"
            )
        super().__init__(
            self.metadata.classes,
            score,
            self.metadata.class_scores,
            self.metadata.tiles if tiles is None else tiles or None,
            streams,
        )

    def stream(
        self, images: Iterable[ImageLike], batch_size: int = 4
    ) -> Iterator[tuple[PreparedImage, Optional[Detections]]]:
        """Detect objects in any number of images, see `BaseDetector.stream`.

        If the file has a fixed batch size, it is used instead of `batch_size`.
        """
        if self.metadata.batch_size is not None and batch_size > 0:
            batch_size = self.metadata.batch_size
        return super().stream(images, batch_size)

    def prepare(self, source: Any) -> PreparedImage:
        """Load an image and resize it as the file requires."""
        image = source[1] if isinstance(source, tuple) else source
        try:
            pixels = self.load(image)
            check_size(pixels, f"image {image}" if isinstance(image, (str, Path)) else "image")
        except UserError as error:
            return PreparedImage(source, error=str(error))
        array, scales = fit(pixels, self.metadata)
        return PreparedImage(source, pixels, data=(array, scales), shape=array.shape)

    def detect(self, images: list[PreparedImage]) -> list[Detections]:
        """Detect objects in images of the same shape."""
        arrays = [image.data[0] for image in images]
        arrays += arrays[-1:] * ((self.metadata.batch_size or 0) - len(arrays))
        outputs = self.engine.run(np.stack(arrays))
        found = []
        for index, image in enumerate(images):
            of_image = {name: output[index] for name, output in outputs.items()}
            found.append(self.finish(of_image, image.data[1], image.image.shape[:2]))
            image.data = None
        return found

    def finish(
        self, outputs: dict[str, np.ndarray], scales: tuple[float, float], size: tuple[int, int]
    ) -> Detections:
        """Select the detections of an image and scale them to its pixels.

        Args:
            outputs: The file's outputs for the image, by name.
            scales: Factors by which the width and height were scaled for the file.
            size: Height and width of the image in pixels.
        """
        boxes, scores, labels = (outputs[name] for name in ("boxes", "scores", "labels"))
        chosen = self._choose(boxes, scores, labels)
        factors = np.float32([1 / scale for scale in scales])
        offset = find_offset(*find_size(*size[::-1], self.metadata), self.metadata)
        boxes = (boxes[chosen] - np.tile(np.float32(offset), 2)) * np.tile(factors, 2)
        inside = boxes
        if self.metadata.input_size is not None:
            # The network also finds objects in the padding.
            inside = boxes.clip(0, np.tile(np.float32(size[::-1]), 2))
            kept = (inside[:, 2:] > inside[:, :2]).all(axis=1)
            chosen, boxes, inside = chosen[kept], boxes[kept], inside[kept]
        masks = None
        if self.metadata.mask_threshold is not None:
            drawn, threshold = outputs["masks"][chosen], self.metadata.mask_threshold
            if self.metadata.mask_stride is None:
                masks = paste_masks(drawn, boxes, size, threshold)
            else:
                stride = self.metadata.mask_stride
                masks = enlarge_masks(drawn, stride, scales, size, threshold, offset)
            if self.metadata.crops_masks:
                crop_masks(masks, inside)
        return Detections(
            inside, scores[chosen], labels[chosen].astype(np.int64), masks, self.classes, size
        )

    def _choose(self, boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return the indices of the selected detections, highest score first."""
        if self.metadata.nms_inside:
            order = np.argsort(-scores, kind="stable")
        else:
            order = np.flatnonzero((labels >= 0) & (scores > self.metadata.score_threshold))
            kept = suppress(
                boxes[order],
                scores[order],
                labels[order],
                self.metadata.iou_threshold,
                self.metadata.max_detections,
            )
            order = order[kept]
        order = order[labels[order] >= 0]
        return order[self.is_chosen(scores[order], labels[order])]
