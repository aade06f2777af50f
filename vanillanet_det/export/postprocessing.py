"""From what heads predict to detections, for batches and with nothing but tensor operators.

MMDetection's own post-processing goes through images and Python lists. These functions give what
it gives, in a form that can be exported.
"""

from typing import Any

import torch
from mmdet.models.task_modules.coders.delta_xywh_bbox_coder import delta2bbox
from torch import Tensor
from torch.nn import functional as F

from .non_max_suppression import non_max_suppression


def decode(coder: Any, priors: Tensor, deltas: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Turn predicted offsets into boxes inside the image.

    Args:
        coder: MMDetection's DeltaXYWHBBoxCoder.
        priors: Boxes that the offsets are from, `(..., 4)`.
        deltas: Offsets, of the same shape.
        height: Of the image, a tensor without dimensions.
        width: Of the image.

    Returns:
        Corners x1, y1, x2, y2, of the same shape.
    """
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


def best(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Take the largest values of each row.

    Args:
        values: Shape `(N, M)`.
        count: How many, at most; all of them where M is smaller.

    Returns:
        The values, highest first, and their indices.
    """
    return values.topk(torch.sym_min(count, values.shape[1]))


def gather(rows: Tensor, index: Tensor) -> Tensor:
    """Take rows, `(N, M, C)`, of each image by their indices, `(N, K)`; returns `(N, K, C)`."""
    return rows.gather(1, index[..., None].expand(-1, -1, rows.shape[2]))


def drop_invalid(boxes: Tensor, scores: Tensor, score_threshold: float, min_size: float) -> Tensor:
    """Set the scores of boxes that don't count to 0.

    Args:
        boxes: Corners x1, y1, x2, y2, `(N, M, 4)`.
        scores: Shape `(N, M)`.
        score_threshold: Boxes with a score at most this don't count.
        min_size: Boxes with a side at most this don't; -1 for none.

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
    """Keep the best boxes of each image that don't overlap a better one of their group.

    As MMDetection does it: groups are moved apart and suppressed together.

    Args:
        boxes: Corners x1, y1, x2, y2, float32 `(N, M, 4)`, M at least 1.
        scores: Float32 `(N, M)`.
        groups: Classes or levels, between which nothing is suppressed, int64 `(N, M)`.
        score_threshold: Boxes with a score at most this are dropped.
        min_size: Boxes with a side at most this are dropped; -1 for none.
        iou_threshold: Boxes with an IoU above it are suppressed.
        max_boxes: The most boxes of an image.

    Returns:
        Boxes `(N, K, 4)`, scores and indices `(N, K)`, highest scores first. K is the number of
        boxes in the image with most of them, at least 1; the rest of the others is 0.
    """
    scores = drop_invalid(boxes, scores, score_threshold, min_size)
    far = torch.where(scores[..., None] > 0, boxes, 0.0).amax(dim=(1, 2), keepdim=True) + 1
    # OpenVINO wants to know that a box has four sides.
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
