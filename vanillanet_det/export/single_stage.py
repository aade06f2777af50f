"""Exportable single-stage detectors, and the base of the others."""

from collections.abc import Sequence

import torch
from mmdet.models.dense_heads import AnchorHead, YOLOXHead
from torch import Tensor, nn

from .postprocessing import decode, drop_invalid, gather, suppress, topk
from .preprocessor import ExportedPreprocessor


class ExportedDetector(nn.Module):
    """Base of all detectors: preprocessing, features and dense heads.

    Args:
        detector: The fused detector.
        dtype: Data type of backbone, neck and heads; boxes are always float32.
    """

    def __init__(self, detector: nn.Module, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.preprocessor = ExportedPreprocessor(detector.data_preprocessor)
        del detector.data_preprocessor  # its mean and std must not become 16 bits
        self.detector, self.dtype = detector.to(dtype), dtype

    def features(self, images: Tensor) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
        """Return the neck's features, and the height and width of the images."""
        height, width = (torch.scalar_tensor(side) for side in images.shape[1:3])
        return self.detector.extract_feat(self.preprocessor(images).to(self.dtype)), height, width

    @staticmethod
    def candidates(
        head: AnchorHead,
        outputs: tuple[Sequence[Tensor], Sequence[Tensor]],
        nms_pre: int,
        height: Tensor,
        width: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Select the predictions of a dense head with the highest scores at each level.

        Returns:
            Boxes `(N, M, 4)`; scores, labels, levels, and the number of each prior among those of
            all levels, each `(N, M)`.
        """
        found, first = [], 0
        for level, (logits, deltas) in enumerate(zip(*outputs)):
            size = logits.shape[2:]
            priors = head.prior_generator.single_level_grid_priors(size, level, device="cpu")
            logits = logits.float().permute(0, 2, 3, 1)
            classes = head.cls_out_channels
            # The sigmoid follows top-k: it preserves the order, and fewer values remain.
            scores, index = topk(logits.flatten(1), nms_pre)
            place, label = index // classes, index % classes
            deltas = deltas.float().permute(0, 2, 3, 1).reshape(deltas.shape[0], -1, 4)
            level = torch.full_like(label, level)
            deltas, number = gather(deltas, place), first + place
            found.append((priors[place], deltas, scores.sigmoid(), label, level, number))
            first = first + priors.shape[0]
        priors, deltas, *others = (torch.cat(parts, dim=1) for parts in zip(*found))
        return decode(head.bbox_coder, priors, deltas, height, width), *others


class ExportedSingleStage(ExportedDetector):
    """A single-stage detector, such as RetinaNet.

    Args:
        detector: The fused detector.
        dtype: Data type to compute in.
        nms: Whether to include non-maximum suppression; otherwise all candidates are returned.
    """

    def __init__(
        self, detector: nn.Module, dtype: torch.dtype = torch.float32, nms: bool = True
    ) -> None:
        super().__init__(detector, dtype)
        self.nms = nms

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map uint8 `(N, H, W, 3)` to boxes `(N, K, 4)`, scores and labels `(N, K)`."""
        features, height, width = self.features(images)
        head = self.detector.bbox_head
        cfg = head.test_cfg
        if isinstance(head, YOLOXHead):
            boxes, scores, labels = yolox_candidates(head, features)
        else:
            boxes, scores, labels, *_ = self.candidates(
                head, head(features), cfg.nms_pre, height, width
            )
        # MMDetection ignores the size for YOLOX.
        min_size = -1 if isinstance(head, YOLOXHead) else cfg.get("min_bbox_size", -1)
        if not self.nms:
            return boxes, drop_invalid(boxes, scores, cfg.score_thr, min_size), labels
        boxes, scores, index = suppress(
            boxes,
            scores,
            labels,
            cfg.score_thr,
            min_size,
            cfg.nms.iou_threshold,
            cfg.max_per_img,
        )
        return boxes, scores, labels.gather(1, index).where(scores > 0, -1)


def yolox_candidates(
    head: YOLOXHead, features: tuple[Tensor, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the predictions of YOLOX's head, one for each point.

    Returns:
        Boxes `(N, M, 4)`, scores and labels, each `(N, M)`.
    """
    found = []
    for level, (logits, deltas, objectness) in enumerate(zip(*head(features))):
        points = head.prior_generator.single_level_grid_priors(
            logits.shape[2:], level, device="cpu", with_stride=True
        )
        scores, labels = logits.float().sigmoid().flatten(2).max(dim=1)
        scores = scores * objectness.float().sigmoid().flatten(1)
        boxes = head._bbox_decode(points, deltas.float().flatten(2).transpose(1, 2))
        found.append((boxes, scores, labels))
    return tuple(torch.cat(parts, dim=1) for parts in zip(*found))
