"""Exportable modules that map uint8 images to the padded detections of a detector."""

import copy

import torch
from mmdet.models.dense_heads import AnchorHead, YOLOXHead
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import Tensor, nn

from ..models.raw_pixels import fold_normalization
from .postprocessing import decode, drop_invalid, gather, suppress, topk
from .preprocessor import ExportedPreprocessor
from .support import stages


def export_form(
    detector: nn.Module,
    part: str = "detector",
    dtype: torch.dtype = torch.float32,
    nms: bool = True,
    fold: bool = True,
) -> tuple[nn.Module, tuple[str, ...]]:
    """Convert a detector, or its backbone, to the form that is exported.

    Args:
        detector: The fused detector, which passes `check_support`; not changed.
        part: `detector` or `backbone`.
        dtype: Data type to compute in.
        nms: Whether to include non-maximum suppression; otherwise all candidates are returned.
        fold: Whether to fold normalisation into the stem if possible. Unsuitable for 16 bits: the
            folded kernel has a large bias that its sums must cancel.

    Returns:
        A module that takes uint8 images `(N, H, W, 3)` in BGR, and the names of its outputs.
    """
    detector = copy.deepcopy(detector).eval()
    if fold:
        fold_normalization(detector)
    if part == "backbone":
        form = ExportedBackbone(detector, dtype).eval()
        with torch.no_grad():
            count = len(form(torch.zeros(1, 64, 64, 3, dtype=torch.uint8)))
        return form, tuple(f"feature_{index}" for index in range(count))
    outputs = ("boxes", "scores", "labels")
    if not hasattr(detector, "roi_head"):
        return ExportedSingleStage(detector, dtype, nms).eval(), outputs
    masks = ("masks",) if detector.roi_head.with_mask else ()
    return ExportedTwoStage(detector, dtype).eval(), outputs + masks


class ExportedBackbone(nn.Module):
    """A detector's backbone, from images to features.

    Args:
        detector: The fused detector.
        dtype: Data type to compute in.
    """

    def __init__(self, detector: nn.Module, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.preprocessor = ExportedPreprocessor(detector.data_preprocessor)
        self.backbone, self.dtype = detector.backbone.to(dtype), dtype

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map uint8 `(N, H, W, 3)` to features `(N, C, h, w)` in float32."""
        return tuple(x.float() for x in self.backbone(self.preprocessor(images).to(self.dtype)))


class _Exported(nn.Module):
    """Base of single- and two-stage detectors: preprocessing, features and dense heads.

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
        features: tuple[Tensor, ...],
        nms_pre: int,
        height: Tensor,
        width: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Select the predictions of a dense head with the highest scores at each level.

        Returns:
            Boxes `(N, M, 4)`; scores, labels, and levels, each `(N, M)`.
        """
        found = []
        for level, (logits, deltas) in enumerate(zip(*head(features))):
            size = logits.shape[2:]
            priors = head.prior_generator.single_level_grid_priors(size, level, device="cpu")
            logits = logits.float().permute(0, 2, 3, 1)
            classes = head.cls_out_channels
            # The sigmoid follows top-k: it preserves the order, and fewer values remain.
            scores, index = topk(logits.flatten(1), nms_pre)
            place, label = index // classes, index % classes
            deltas = deltas.float().permute(0, 2, 3, 1).reshape(deltas.shape[0], -1, 4)
            level = torch.full_like(label, level)
            found.append((priors[place], gather(deltas, place), scores.sigmoid(), label, level))
        priors, deltas, *others = (torch.cat(parts, dim=1) for parts in zip(*found))
        return decode(head.bbox_coder, priors, deltas, height, width), *others


class ExportedSingleStage(_Exported):
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
            boxes, scores, labels, _ = self.candidates(head, features, cfg.nms_pre, height, width)
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


class ExportedTwoStage(_Exported):
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
        boxes, scores, _, levels = self.candidates(head, features, cfg.nms_pre, height, width)
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
