"""Non-maximum suppression for files that leave it out."""

import numpy as np


def suppress(
    boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, iou_threshold: float, limit: int
) -> np.ndarray:
    """Choose boxes as mmcv's `batched_nms` does: the best of each class that overlap.

    Args:
        boxes: Left, top, right and bottom, float32 `(N, 4)`.
        scores: float32 `(N,)`; of equal scores the first comes first.
        labels: Index of each class `(N,)`.
        iou_threshold: A box is left out whose IoU with a better one of its class is above it.
        limit: The largest number to choose.

    Returns:
        Their indices, highest score first.
    """
    if not len(boxes):
        return np.zeros(0, np.int64)
    # Boxes of different classes are moved apart. The sum rounds, and so decides what overlaps:
    # it is mmcv's, in float32.
    boxes = boxes + (labels.astype(np.float32) * (boxes.max() + np.float32(1)))[:, None]
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    threshold = np.float32(iou_threshold)
    rest = np.argsort(-scores, kind="stable")
    chosen: list[int] = []
    while len(rest) and len(chosen) < limit:
        best, rest = rest[0], rest[1:]
        chosen.append(best)
        start = np.maximum(boxes[best, :2], boxes[rest, :2])
        sides = np.maximum(np.minimum(boxes[best, 2:], boxes[rest, 2:]) - start, 0)
        overlap = sides[:, 0] * sides[:, 1]
        with np.errstate(divide="ignore", invalid="ignore"):  # boxes without area: NaN, kept
            iou = overlap / (areas[best] + areas[rest] - overlap)
        rest = rest[~(iou > threshold)]
    return np.array(chosen, np.int64)
