"""Greedy, soft and matching non-maximum suppression.

As in mmcv, all of them compute in float32, whatever the dtype of the boxes.
"""

import operator
from typing import Callable

import numpy as np
import torch
import torchvision
from torch import Tensor

from .registry import op

NAIVE, LINEAR, GAUSSIAN = range(3)


@op
def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Suppress every box that overlaps a box with a higher score.

    Args:
        boxes: Corners x1, y1, x2, y2, shape `(n, 4)`.
        scores: Shape `(n,)`; equal scores keep their order.
        iou_threshold: Boxes with an IoU above it are suppressed.
        offset: Added to widths and heights, 0 or 1.

    Returns:
        Indices of the kept boxes, by descending score, int64 of shape `(kept,)`.
    """
    boxes, scores = boxes.float(), scores.float()
    if offset == 0:
        # torchvision compares in float64 on the CPU, where 0.6 differs from 0.6 in float32.
        return torchvision.ops.nms(boxes, scores, float(np.float32(iou_threshold)))
    # Adding the offset to x2 and y2 would round differently from mmcv's sum.
    groups = _greedy(boxes, scores, operator.gt, iou_threshold, offset)
    return torch.tensor([group[0] for group in groups], dtype=torch.long, device=boxes.device)


@op
def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Group boxes by the box that suppresses them.

    Args:
        dets: Corners and score, shape `(n, 5)`.
        iou_threshold: Boxes with at least this IoU are suppressed.

    Returns:
        For each kept box, by descending score: its index and those of the boxes it suppresses.
    """
    dets = dets.float()
    return _greedy(dets[:, :4], dets[:, 4], operator.ge, iou_threshold, offset=0)


@op
def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Lower the scores of boxes that overlap a box with a higher score.

    Formulas: https://arxiv.org/abs/1704.04503, section 3.

    Args:
        boxes: Corners x1, y1, x2, y2, shape `(n, 4)`.
        scores: Shape `(n,)`.
        dets: Filled with the corners and new scores of the kept boxes, by descending score; shape
            `(n, 5)`, of which only the first `kept` rows are written.
        iou_threshold: IoU from which the naive and linear methods lower scores.
        sigma: Width of the Gaussian method.
        min_score: Boxes whose score falls below it are dropped.
        method: 0 for naive, 1 for linear, 2 for Gaussian.
        offset: Added to widths and heights, 0 or 1.

    Returns:
        Indices of the kept boxes, in the order of `dets`, int64 of shape `(kept,)`.
    """
    corners = boxes.detach().float().cpu().numpy()
    score = scores.detach().float().cpu().numpy().copy()
    areas = _areas(corners, offset)
    order = np.arange(len(corners))
    end, step = len(corners), 0
    while step < end:
        # As in mmcv, a NaN wins only if it is the first score.
        best = step if np.isnan(score[step]) else step + int(np.nanargmax(score[step:end]))
        for array in (order, score):
            array[[step, best]] = array[[best, step]]
        rest = slice(step + 1, end)
        iou = _overlaps(corners, areas, order[step], order[rest], offset)
        lowered = score[rest] * _decay(iou, method, np.float32(iou_threshold), np.float32(sigma))
        kept = _close_gaps(~(lowered < np.float32(min_score)))
        end = step + 1 + len(kept)
        order[step + 1 : end], score[step + 1 : end] = order[rest][kept], lowered[kept]
        step += 1
    order, score = order[:end], score[:end]
    dets[:end].copy_(torch.from_numpy(np.column_stack([corners[order], score])))
    return torch.from_numpy(order).to(boxes.device)


def _decay(iou: np.ndarray, method: int, threshold: np.float32, sigma: np.float32) -> np.ndarray:
    if method == GAUSSIAN:
        return np.exp(-(iou * iou) / sigma)
    weight = np.ones_like(iou)
    hit = iou >= threshold
    weight[hit] = 1 - iou[hit] if method == LINEAR else 0
    return weight


def _close_gaps(kept: np.ndarray) -> np.ndarray:
    """Return mmcv's order of the kept boxes, which decides between boxes with equal scores.

    mmcv fills each gap, starting from the front, with the last remaining box.
    """
    count = int(kept.sum())
    places = np.arange(count)
    places[~kept[:count]] = count + np.flatnonzero(kept[count:])[::-1]
    return places


def _greedy(
    boxes: Tensor,
    scores: Tensor,
    compare: Callable[[np.ndarray, np.float32], np.ndarray],
    threshold: float,
    offset: int,
) -> list[list[int]]:
    corners = boxes.detach().cpu().numpy()
    areas = _areas(corners, offset)
    rest = scores.detach().cpu().sort(stable=True, descending=True).indices.numpy()
    groups = []
    while len(rest):
        best, rest = rest[0], rest[1:]
        hit = compare(_overlaps(corners, areas, best, rest, offset), np.float32(threshold))
        groups.append([int(best), *rest[hit].tolist()])
        rest = rest[~hit]
    return groups


def _areas(corners: np.ndarray, offset: int) -> np.ndarray:
    x1, y1, x2, y2 = corners.T
    return (x2 - x1 + offset) * (y2 - y1 + offset)


def _overlaps(
    corners: np.ndarray, areas: np.ndarray, one: int, others: np.ndarray, offset: int
) -> np.ndarray:
    """Return the IoU of one box with other boxes, in mmcv's order of operations."""
    box, boxes = corners[one], corners[others]
    size = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2]) + offset
    width, height = np.maximum(size, 0).T
    inter = width * height
    with np.errstate(
        divide="ignore", invalid="ignore"
    ):  # boxes without area have IoU NaN, which never counts
        return inter / (areas[one] + areas[others] - inter)
