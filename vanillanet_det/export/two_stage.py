"""Exportable two-stage detectors."""

import torch
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import Tensor

from .postprocessing import decode, suppress
from .single_stage import ExportedDetector
from .support import stages


class ExportedTwoStage(ExportedDetector):
    """A two-stage detector: Faster, Mask or Cascade R-CNN, with or without masks."""

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map uint8 `(N, H, W, 3)` to boxes `(N, K, 4)`, scores and labels `(N, K)`, and masks.

        With a mask head, masks are probabilities in each box, `(N, K, 28, 28)`.
        """
        features, height, width = self.features(images)
        proposals = self._propose(features, height, width)
        boxes, scores, labels = self._classify(features, *proposals, height, width)
        if not self.detector.roi_head.with_mask:
            return boxes, scores, labels
        masks = self._masks(features, boxes, labels.flatten())
        return boxes, scores, labels, masks.view(*labels.shape, *masks.shape[2:])

    def _propose(
        self, features: tuple[Tensor, ...], height: Tensor, width: Tensor
    ) -> tuple[Tensor, Tensor]:
        head = self.detector.rpn_head
        cfg = head.test_cfg
        boxes, scores, _, levels, _ = self.candidates(
            head, head(features), cfg.nms_pre, height, width
        )
        return suppress(
            boxes,
            scores,
            levels,
            0.0,
            cfg.get("min_bbox_size", -1),
            cfg.nms.iou_threshold,
            cfg.max_per_img,
        )[:2]

    def _classify(
        self,
        features: tuple[Tensor, ...],
        proposals: Tensor,
        objectness: Tensor,
        height: Tensor,
        width: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        roi_head = self.detector.roi_head
        cfg, boxes, by_stage = roi_head.test_cfg, proposals[:, :, None], []
        images, count = proposals.shape[:2]
        for head, extractor in stages(roi_head.bbox_head, roi_head.bbox_roi_extractor):
            if by_stage:  # each region continues with the box of its most likely class
                boxes = select_class_boxes(boxes, by_stage[-1][..., :-1].argmax(dim=2))
            regions = pool_regions(extractor, features, boxes[:, :, 0])
            logits, deltas = head(regions.to(self.dtype))
            by_stage.append(logits.float().view(images, count, -1))
            deltas = deltas.float().view(images, count, -1, 4)
            boxes = decode(head.bbox_coder, boxes.expand_as(deltas), deltas, height, width)
        # The last class is the background.
        scores = torch.stack(by_stage).mean(dim=0).softmax(dim=2)[..., :-1]
        classes = scores.shape[2]
        boxes = boxes.expand(-1, -1, classes, -1).reshape(images, count * classes, 4)
        # Images with fewer proposals than others contain rows of padding.
        scores = scores.where(objectness[..., None] > 0, 0.0).reshape(images, count * classes)
        labels = torch.arange(classes).repeat(images, count)
        boxes, scores, index = suppress(
            boxes, scores, labels, cfg.score_thr, -1, cfg.nms.iou_threshold, cfg.max_per_img
        )
        return boxes, scores, labels.gather(1, index).where(scores > 0, -1)

    def _masks(self, features: tuple[Tensor, ...], boxes: Tensor, labels: Tensor) -> Tensor:
        roi_head, by_stage = self.detector.roi_head, []
        for head, extractor in stages(roi_head.mask_head, roi_head.mask_roi_extractor):
            regions = pool_regions(extractor, features, boxes)
            masks = head(regions.to(self.dtype)).float()
            if masks.shape[1] > 1:
                index = labels.clamp(min=0).view(-1, 1, 1, 1)
                masks = masks.gather(1, index.expand(-1, 1, *masks.shape[2:]))
            by_stage.append(masks.sigmoid())
        return torch.stack(by_stage).mean(dim=0)


def select_class_boxes(boxes: Tensor, labels: Tensor) -> Tensor:
    """Select each region's box for its class.

    Args:
        boxes: Shape `(N, K, classes, 4)`, or `(N, K, 1, 4)` for class-agnostic boxes.
        labels: Shape `(N, K)`.

    Returns:
        Shape `(N, K, 1, 4)`.
    """
    if boxes.shape[2] == 1:
        return boxes
    return boxes.gather(2, labels[..., None, None].expand(-1, -1, 1, 4))


def pool_regions(
    extractor: SingleRoIExtractor, features: tuple[Tensor, ...], boxes: Tensor
) -> Tensor:
    """Pool the features in each box, from the level that matches its size.

    Args:
        extractor: MMDetection's RoI extractor.
        features: `(N, C, h, w)` for each level.
        boxes: Corners x1, y1, x2, y2 in pixels, `(N, K, 4)`.

    Returns:
        Shape `(N * K, C, height, width)`.
    """
    images, count = boxes.shape[:2]
    image = torch.arange(images).view(-1, 1, 1).expand(-1, count, 1)
    rois = torch.cat([image.to(boxes), boxes], dim=2).view(images * count, 5)
    levels = extractor.map_roi_levels(rois, extractor.num_inputs)
    order, pooled = [], []
    for level, layer in enumerate(extractor.roi_layers):
        index = (levels == level).nonzero()[:, 0]
        order.append(index)
        pooled.append(
            torch.ops.torchvision.roi_align(
                features[level].float(),
                rois[index],
                layer.spatial_scale,
                *layer.output_size,
                layer.sampling_ratio,
                layer.aligned,
            )
        )
    order = torch.cat(order)
    place = torch.zeros_like(levels).index_put((order,), torch.arange(order.shape[0]))
    return torch.cat(pooled)[place]
