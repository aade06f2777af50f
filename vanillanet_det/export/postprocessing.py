"""Post-processing of head outputs, batched, in tensor operators that can be exported.

The results equal those of MMDetection's post-processing, which loops over images in Python.
"""

from typing import Any

import torch
from mmdet.models.task_modules.coders import DistancePointBBoxCoder
from mmdet.models.task_modules.coders.delta_xywh_bbox_coder import delta2bbox
from torch import Tensor
from torch.nn import functional as F

from ..ops.nms import nms


@torch.library.custom_op("vanillanet_det::non_max_suppression", mutates_args=())
def non_max_suppression(
    boxes: Tensor, scores: Tensor, max_boxes: int, iou_threshold: float, score_threshold: float
) -> Tensor:
    """Compute ONNX's NonMaxSuppression: drop boxes that overlap a higher-scoring box.

    Args:
        boxes: Corners x1, y1, x2, y2, float32 `(N, M, 4)`.
        scores: Float32 `(N, 1, M)`.
        max_boxes: Maximum number of boxes kept per image.
        iou_threshold: Boxes with an IoU above this are suppressed.
        score_threshold: Boxes with a score up to this are ignored.

    Returns:
        Image index, 0 and box index of each kept box, int64 `(kept, 3)`.
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


def onnx_translations() -> dict[Any, Any]:
    """Map `non_max_suppression` to ONNX's operator, for torch's exporter."""
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


def decode(coder: Any, priors: Tensor, deltas: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Decode predicted offsets into boxes, clipped to the image if the coder clips them.

    Args:
        coder: MMDetection's DeltaXYWHBBoxCoder or DistancePointBBoxCoder.
        priors: Anchors or proposals, `(..., 4)`; for distances, points x, y, `(..., 2)`.
        deltas: Offsets, or distances to the left, upper, right and lower sides, `(..., 4)`.
        height: Image height, a scalar tensor.
        width: Image width, a scalar tensor.

    Returns:
        Corners x1, y1, x2, y2, `(..., 4)`.
    """
    if isinstance(coder, DistancePointBBoxCoder):
        boxes = torch.cat([priors - deltas[..., :2], priors + deltas[..., 2:]], dim=-1)
    else:
        boxes = delta2bbox(
            priors.reshape(-1, 4),
            deltas.reshape(-1, 4),
            coder.means,
            coder.stds,
            add_ctr_clamp=coder.add_ctr_clamp,
            ctr_clamp=coder.ctr_clamp,
        ).reshape(deltas.shape)
    if not coder.clip_border:
        return boxes
    return boxes.clamp(min=0).minimum(torch.stack([width, height, width, height]))


def topk(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the largest values of each row.

    Args:
        values: Shape `(N, M)`.
        count: Number of values; all of them if M is smaller.

    Returns:
        The values, highest first, and their indices.
    """
    return values.topk(torch.sym_min(count, values.shape[1]))


def gather(rows: Tensor, index: Tensor) -> Tensor:
    """Select rows of each image, `(N, M, C)`, by index, `(N, K)`; return `(N, K, C)`."""
    return rows.gather(1, index[..., None].expand(-1, -1, rows.shape[2]))


def drop_invalid(boxes: Tensor, scores: Tensor, score_threshold: float, min_size: float) -> Tensor:
    """Set the scores of invalid boxes to 0.

    Args:
        boxes: Corners x1, y1, x2, y2, `(N, M, 4)`.
        scores: Shape `(N, M)`.
        score_threshold: Boxes with a score up to this are invalid.
        min_size: Boxes with a side up to this are invalid; -1 for none.

    Returns:
        The scores.
    """
    valid = scores > score_threshold
    if min_size >= 0:
        sides = boxes[..., 2:] - boxes[..., :2]
        valid = valid & (sides > min_size).all(dim=2)
    return torch.where(valid, scores, 0.0)


def suppress(
    boxes: Tensor,
    scores: Tensor,
    groups: Tensor,
    score_threshold: float,
    min_size: float,
    iou_threshold: float,
    max_boxes: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Suppress boxes that overlap a higher-scoring box of their group.

    As in MMDetection, groups are shifted apart and suppressed together.

    Args:
        boxes: Corners x1, y1, x2, y2, float32 `(N, M, 4)`, M at least 1.
        scores: Float32 `(N, M)`.
        groups: Classes or levels, which don't suppress each other, int64 `(N, M)`.
        score_threshold: Boxes with a score up to this are dropped.
        min_size: Boxes with a side up to this are dropped; -1 for none.
        iou_threshold: Boxes with an IoU above this are suppressed.
        max_boxes: Maximum number of boxes per image.

    Returns:
        Boxes `(N, K, 4)`, scores and indices `(N, K)`, highest scores first. K is the largest
        number of boxes in an image, at least 1; the rows of other images are padded with zeros.
    """
    scores = drop_invalid(boxes, scores, score_threshold, min_size)
    far = torch.where(scores[..., None] > 0, boxes, 0.0).amax(dim=(1, 2), keepdim=True) + 1
    # The view tells OpenVINO that a box has four values.
    apart = (boxes + groups[..., None] * far).view(boxes.shape[0], -1, 4)
    kept = non_max_suppression(
        apart, scores[:, None], max_boxes, iou_threshold, max(score_threshold, 0.0)
    )
    image, index = kept[:, 0], kept[:, 2]
    chosen = torch.zeros_like(scores).index_put((image, index), scores[image, index])
    chosen = F.pad(chosen, (0, max_boxes))
    scores, index = chosen.topk(max_boxes)
    index = index.clamp(max=boxes.shape[1] - 1)
    count = (scores > 0).sum(dim=1).max().clamp(min=1).item()
    torch._check(count >= 1)
    torch._check(count <= max_boxes)
    scores, index = scores[:, :count], index[:, :count]
    boxes = gather(boxes, index).where(scores[..., None] > 0, 0.0)
    return boxes, scores, index
