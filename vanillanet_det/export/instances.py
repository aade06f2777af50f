"""Exportable RTMDet-Ins, whose masks cover the whole image."""

import torch
from mmdet.models.dense_heads import RTMDetInsHead
from torch import Tensor

from .postprocessing import gather, suppress
from .single_stage import ExportedDetector


class ExportedRTMDetIns(ExportedDetector):
    """RTMDet-Ins: each object has a small network of its own, which draws its mask."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Map uint8 `(N, H, W, 3)` to boxes `(N, K, 4)`, scores and labels `(N, K)`, and masks.

        Masks are logits of the whole image, `(N, K, h, w)`, a value for each point of the finest
        level.
        """
        features, height, width = self.features(images)
        head = self.detector.bbox_head
        cfg = head.test_cfg
        logits, deltas, kernels, prototypes = head(features)
        boxes, scores, labels, _, places = self.candidates(
            head, (logits, deltas), cfg.nms_pre, height, width
        )
        boxes, scores, index = suppress(
            boxes,
            scores,
            labels,
            cfg.score_thr,
            cfg.get("min_bbox_size", -1),
            cfg.nms.iou_threshold,
            cfg.max_per_img,
        )
        places = places.gather(1, index)
        kernels = [each.float().flatten(2).transpose(1, 2) for each in kernels]
        points = [
            head.prior_generator.single_level_grid_priors(
                each.shape[2:], level, device="cpu", with_stride=True
            )
            for level, each in enumerate(logits)
        ]
        masks = draw_masks(
            head,
            prototypes.float(),
            gather(torch.cat(kernels, dim=1), places),
            torch.cat(points)[places],
            points[0][:, :2],
        )
        return boxes, scores, labels.gather(1, index).where(scores > 0, -1), masks


def draw_masks(
    head: RTMDetInsHead, prototypes: Tensor, kernels: Tensor, priors: Tensor, grid: Tensor
) -> Tensor:
    """Draw masks with the networks of the objects, as MMDetection does, but for several images.

    Args:
        head: The head.
        prototypes: What all masks are made of, `(N, C, h, w)`.
        kernels: Weights, then biases, of each object's network, `(N, K, P)`.
        priors: Position and stride of the objects' points, `(N, K, 4)`.
        grid: Positions of the prototypes' values, `(h * w, 2)`.

    Returns:
        Logits `(N, K, h, w)`.
    """
    sizes = [*head.weight_nums, *head.bias_nums]
    parts = kernels.split(sizes, dim=2)
    layers = len(head.weight_nums)
    # In units of eight strides.
    distances = (priors[..., :2, None] - grid.t()) / (8 * priors[..., 2:, None])
    pixels = prototypes.flatten(2)[:, None]
    y = None
    for weights, biases in zip(parts[:layers], parts[layers:]):
        matrix = weights.unflatten(2, (biases.shape[2], -1))
        if y is None:  # two products instead of the prototypes once more for each object
            y = matrix[..., :2] @ distances + matrix[..., 2:] @ pixels
        else:
            y = matrix @ y.relu()
        y = y + biases[..., None]
    return y[:, :, 0].unflatten(2, prototypes.shape[2:])
