"""A detector for images, from an exported file."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np

from ..errors import UserError
from .engines import open_engine
from .flow import BaseDetector, Prepared
from .images import ImageLike, as_bgr
from .masks import paste_masks
from .nms import suppress
from .preprocessing import check_size, fit
from .results import Detections


class Detector(BaseDetector):
    """Finds objects in images with an exported file. Several threads may call it.

    Args:
        path: A detector's `.onnx` file, or its `.xml` file with the `.bin` file beside it.
        score: The least score of what is returned, from 0 to 1.
        engine: `onnxruntime` or `openvino`; None for ONNX Runtime where the file is ONNX.
        device: `cpu`, or for ONNX Runtime `cuda` or `cuda:1`, for OpenVINO `gpu` or `gpu:1`.
        threads: Of the CPU; None for the engine's choice.
        streams: Groups of images that are computed at the same time; they share the threads.

    Raises:
        UserError: File, engine or device can't be used, or the file is no detector's.

    Example:
        >>> detector = Detector("detector.onnx")
        >>> found = detector("a.jpg")
        >>> [(item.name, item.score, item.box) for item in found]
        >>> found.draw("a.jpg").save("drawn.jpg")
    """

    def __init__(
        self,
        path: Union[str, Path],
        score: float = 0.3,
        engine: Optional[str] = None,
        device: str = "cpu",
        threads: Optional[int] = None,
        streams: int = 1,
    ) -> None:
        super().__init__((), score, streams)
        self.engine = open_engine(path, engine, device, threads, streams)
        self.metadata = self.engine.metadata
        if self.metadata.kind != "detector":
            raise UserError(
                f"{path}: is a {self.metadata.kind}'s file, which gives features but no boxes; "
                "export the whole detector"
            )
        self.classes = self.metadata.classes

    def stream(
        self, images: Iterable[ImageLike], batch_size: int = 4
    ) -> Iterator[tuple[Prepared, Optional[Detections]]]:
        """Find objects in images one after another, see `BaseDetector.stream`.

        For a file of fixed batch size, `batch_size` is that.
        """
        if self.metadata.batch_size is not None and batch_size > 0:
            batch_size = self.metadata.batch_size
        return super().stream(images, batch_size)

    def prepare(self, source: Any) -> Prepared:
        """Load an image and bring it into the size that the file takes."""
        image = source[1] if isinstance(source, tuple) else source
        try:
            pixels = as_bgr(image)
            check_size(pixels, f"image {image}" if isinstance(image, (str, Path)) else "image")
        except UserError as error:
            return Prepared(source, error=str(error))
        array, scales = fit(pixels, self.metadata)
        return Prepared(source, pixels, data=(array, scales), shape=array.shape)

    def detect(self, images: list[Prepared]) -> list[Detections]:
        """Pass images of one shape through the network."""
        arrays = [image.data[0] for image in images]
        arrays += arrays[-1:] * ((self.metadata.batch_size or 0) - len(arrays))
        outputs = self.engine.run(np.stack(arrays))
        found = []
        for index, image in enumerate(images):
            own = {name: out[index] for name, out in outputs.items()}
            found.append(self.finish(own, image.data[1], image.image.shape[:2]))
            image.data = None
        return found

    def finish(
        self, outputs: dict[str, np.ndarray], scales: tuple[float, float], size: tuple[int, int]
    ) -> Detections:
        """Choose detections of an image, and bring them into its pixels.

        Args:
            outputs: The file's for this image, by name.
            scales: How much wider and higher it was for the file.
            size: Its height and width in pixels.
        """
        boxes, scores, labels = (outputs[name] for name in ("boxes", "scores", "labels"))
        chosen = self._choose(boxes, scores, labels)
        factors = np.float32([1 / scale for scale in scales])
        boxes = boxes[chosen] * np.tile(factors, 2)
        inside = boxes
        if self.metadata.input_size is not None:
            # To the network, what the picture was filled up with is a part of it.
            inside = boxes.clip(0, np.tile(np.float32(size[::-1]), 2))
            kept = (inside[:, 2:] > inside[:, :2]).all(axis=1)
            chosen, boxes, inside = chosen[kept], boxes[kept], inside[kept]
        masks = None
        if self.metadata.mask_threshold is not None:
            masks = paste_masks(outputs["masks"][chosen], boxes, size, self.metadata.mask_threshold)
        return Detections(
            inside, scores[chosen], labels[chosen].astype(np.int64), masks, self.classes, size
        )

    def _choose(self, boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Find the indices of detections, highest score first."""
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
        return order[(labels[order] >= 0) & (scores[order] >= self.score)]
