"""Test-time augmentation for detectors with masks."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Callable

import torch
from mmdet.models import CascadeRoIHead, DetTTAModel, StandardRoIHead
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi, bbox_flip
from torch import Tensor, nn

from ..errors import UserError

_FLIPPED_AXES = {"horizontal": (-1,), "vertical": (-2,), "diagonal": (-2, -1)}


@MODELS.register_module()
class MaskTTAModel(DetTTAModel):
    """MMDetection's DetTTAModel, extended to two-stage detectors with masks.

    The boxes of all views are merged by NMS. Masks for the merged boxes are then predicted from
    the features of each view, and their probabilities are averaged, as in Detectron2's
    `GeneralizedRCNNWithTTA`. A detector without masks is handled by DetTTAModel.

    Args:
        tta_cfg: `nms` and `max_per_img`, as for DetTTAModel.
        **kwargs: `module`, the detector.

    Raises:
        UserError: The masks of the detector can't be averaged.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._with_masks = getattr(self.module, "with_mask", False)
        roi_head = getattr(self.module, "roi_head", None)
        if self._with_masks and not _mask_passes(roi_head):
            raise UserError(
                f"MaskTTAModel: the masks of {type(roi_head or self.module).__name__} can't be "
                "averaged; expected a StandardRoIHead or CascadeRoIHead, such as Mask R-CNN's; "
                "evaluate without --tta"
            )

    def test_step(self, data: dict) -> list[DetDataSample]:
        """Predict boxes and masks from all views of a batch of images.

        Args:
            data: `inputs` and `data_samples`, each a list of views, each a list of images.

        Returns:
            The merged boxes and their masks for each image, at the image's original size.
        """
        if not self._with_masks:
            return super().test_step(data)
        views = [dict(zip(data, view)) for view in zip(*data.values())]
        features, predictions = zip(*map(self._predict_boxes, views))
        metas = [[sample.metainfo for sample in view] for view in predictions]
        merged = self.merge_preds(list(zip(*predictions)))
        self._add_masks(merged, features, metas)
        return merged

    def _predict_boxes(self, view: dict) -> tuple[Sequence[Tensor], list[DetDataSample]]:
        """Return the features of a view, and its boxes at the images' original sizes."""
        data = self.module.data_preprocessor(view, False)
        samples = data["data_samples"]
        features = self.module.extract_feat(data["inputs"])
        proposals = self.module.rpn_head.predict(features, samples, rescale=False)
        head = self.module.roi_head
        metas = [sample.metainfo for sample in samples]
        results = head.predict_bbox(features, metas, proposals, head.test_cfg, rescale=True)
        return features, self.module.add_pred_to_datasample(samples, results)

    def _add_masks(
        self,
        samples: list[DetDataSample],
        features: Sequence[Sequence[Tensor]],
        metas: Sequence[Sequence[dict]],
    ) -> None:
        """Add masks to the merged boxes, averaged over all views."""
        head = self.module.roi_head
        results = [sample.pred_instances for sample in samples]
        counts = [len(result) for result in results]
        boxes = [result.bboxes for result in results]
        means = [None] * len(samples)
        if sum(counts):
            masks = [self._mask_probabilities(x, boxes, view) for x, view in zip(features, metas)]
            # The head expects probabilities as an array.
            means = torch.stack(masks).mean(0).cpu().numpy()
            means = [means[sum(counts[:i]) :][:n] for i, n in enumerate(counts)]
        _, mask_head = _mask_passes(head)[-1]
        mask_head.predict_by_feat(
            mask_preds=means,
            results_list=results,
            # The boxes are already at the original size.
            batch_img_metas=[dict(m, scale_factor=(1.0, 1.0)) for m in metas[0]],
            rcnn_test_cfg=head.test_cfg,
            rescale=True,
            activate_map=True,
        )

    def _mask_probabilities(
        self, features: Sequence[Tensor], boxes: list[Tensor], metas: Sequence[dict]
    ) -> Tensor:
        """Predict masks `(boxes of all images, classes, h, w)` in one view, and flip them back."""
        rois = bbox2roi([_map_boxes(*pair) for pair in zip(boxes, metas)])
        passes = [
            forward(features, rois)["mask_preds"].float().sigmoid()
            for forward, _ in _mask_passes(self.module.roi_head)
        ]
        masks = torch.stack(passes).mean(0)
        return torch.cat(
            [
                part.flip(_FLIPPED_AXES[meta["flip_direction"]]) if meta.get("flip") else part
                for part, meta in zip(masks.split([len(b) for b in boxes]), metas)
            ]
        )


def _mask_passes(head: Any) -> list[tuple[Callable, nn.Module]]:
    """Return the passes whose mean is the mask: pairs of a forward method and a mask head."""
    predict = getattr(type(head), "predict_mask", None)
    if predict is StandardRoIHead.predict_mask:
        return [(head._mask_forward, head.mask_head)]
    if predict is CascadeRoIHead.predict_mask:
        return [(partial(head._mask_forward, i), h) for i, h in enumerate(head.mask_head)]
    return []


def _map_boxes(boxes: Tensor, meta: dict) -> Tensor:
    """Map boxes from an image to a view of it; this inverts DetTTAModel's mapping."""
    if meta.get("flip"):
        boxes = bbox_flip(boxes, meta["ori_shape"], meta["flip_direction"])
    return boxes * boxes.new_tensor(meta["scale_factor"]).repeat(1, 2)
