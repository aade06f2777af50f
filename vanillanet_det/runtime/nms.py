"""Non-maximum suppression for files that were exported without it."""

import numpy as np


def suppress(
    boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, iou_threshold: float, limit: int
) -> np.ndarray:
    """Suppress overlapping boxes of the same class, as mmcv's `batched_nms` does.

    Args:
        boxes: Left, top, right and bottom, float32 `(N, 4)`.
        scores: float32 `(N,)`; ties keep their order.
        labels: Class indices `(N,)`.
        iou_threshold: A box is suppressed if its IoU with a higher-scoring box of its class exceeds
            this.
        limit: Maximum number of boxes to keep.

    Returns:
        Indices of the boxes to keep, highest score first.
    """
    if not len(boxes):
        return np.zeros(0, np.int64)
    # An offset per class keeps different classes apart. Its rounding affects the IoU, so it is
    # computed in float32 like mmcv's.
    boxes = boxes + (labels.astype(np.float32) * (boxes.max() + np.float32(1)))[:, None]
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    threshold = np.float32(iou_threshold)
    rest = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(rest) and len(kept) < limit:
        best, rest = rest[0], rest[1:]
        kept.append(best)
        start = np.maximum(boxes[best, :2], boxes[rest, :2])
        sides = np.maximum(np.minimum(boxes[best, 2:], boxes[rest, 2:]) - start, 0)
        overlap = sides[:, 0] * sides[:, 1]
        with np.errstate(divide="ignore", invalid="ignore"):  # empty boxes: NaN, kept
            iou = overlap / (areas[best] + areas[rest] - overlap)
        rest = rest[~(iou > threshold)]
    return np.array(kept, np.int64)
