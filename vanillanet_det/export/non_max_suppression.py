"""ONNX's operator for non-maximum suppression, as PyTorch can compute and export it."""

from typing import Any

import torch
from torch import Tensor

from ..ops.nms import nms


@torch.library.custom_op("vanillanet_det::non_max_suppression", mutates_args=())
def non_max_suppression(
    boxes: Tensor, scores: Tensor, max_boxes: int, iou_threshold: float, score_threshold: float
) -> Tensor:
    """Suppress, in each image, every box that overlaps a better one.

    Args:
        boxes: Corners x1, y1, x2, y2, float32 `(N, M, 4)`.
        scores: Float32 `(N, 1, M)`.
        max_boxes: The most boxes of an image that are kept.
        iou_threshold: Boxes with an IoU above it are suppressed.
        score_threshold: Boxes with a score at most this count for nothing.

    Returns:
        For each box kept its image, 0, and its index, int64 `(kept, 3)`.
    """
    rows = []
    for image, (corners, (score,)) in enumerate(zip(boxes, scores)):
        candidates = torch.nonzero(score > score_threshold)[:, 0]
        kept = candidates[nms(corners[candidates], score[candidates], iou_threshold, 0)]
        kept = kept[:max_boxes]
        rows.append(torch.stack([torch.full_like(kept, image), torch.zeros_like(kept), kept], 1))
    return torch.cat(rows)


@non_max_suppression.register_fake
def _(
    boxes: Tensor, scores: Tensor, max_boxes: int, iou_threshold: float, score_threshold: float
) -> Tensor:
    count = torch.library.get_ctx().new_dynamic_size()
    return boxes.new_empty((count, 3), dtype=torch.long)


def translations() -> dict[Any, Any]:
    """Tell the exporter of torch which operators of ONNX take the place of this one."""
    from onnxscript import opset18 as op

    def translate(
        boxes: Any, scores: Any, max_boxes: int, iou_threshold: float, score_threshold: float
    ) -> Any:
        return op.NonMaxSuppression(
            boxes,
            scores,
            op.Constant(value_ints=[max_boxes]),
            op.Constant(value_floats=[iou_threshold]),
            op.Constant(value_floats=[score_threshold]),
        )

    return {torch.ops.vanillanet_det.non_max_suppression.default: translate}
