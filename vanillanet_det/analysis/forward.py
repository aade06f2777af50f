"""One forward pass of any detector, whose cost does not depend on the weights.

In a two-stage detector, the weights determine how many regions the second stage processes. As is
usual for FLOPs, their number is fixed: 1,000 boxes, and masks for 100 of them.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Callable

import torch
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.models.detectors import BaseDetector
from mmdet.models.roi_heads import CascadeRoIHead
from mmdet.models.roi_heads.roi_extractors import BaseRoIExtractor, SingleRoIExtractor
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ..models.deploy import image_channels
from ..models.preprocessing import preprocess

NUM_PROPOSALS = 1000
NUM_MASKS = 100


def forward_once(model: nn.Module, input_size: tuple[int, int]) -> None:
    """Send one black image through a model, padded as the model's preprocessor pads it.

    Args:
        model: A detector, or any network that takes images, on the device to run on.
        input_size: Height and width of the image.

    Raises:
        Exception: Whatever the model raises.
    """
    first = next(model.parameters())
    with first.device:  # for tensors that the model creates
        image = torch.zeros(image_channels(model), *input_size)
        if not isinstance(model, BaseDetector):
            model(image[None])
            return
        sample = DetDataSample(
            metainfo=dict(
                img_shape=input_size,
                ori_shape=input_size,
                pad_shape=input_size,
                batch_input_shape=input_size,
                scale_factor=(1.0, 1.0),
                flip=False,
            )
        )
        # Sparse R-CNN and CondInst expect ground truth in their forward passes.
        labels = torch.zeros(0, dtype=torch.long)
        sample.gt_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=labels)
        data = preprocess(model, image, sample)
        with _fixed_regions(model):
            model(data["inputs"].to(first), data["data_samples"], mode="tensor")


@contextmanager
def _fixed_regions(model: nn.Module) -> Iterator[None]:
    """Replace functions that depend on the weights or have no kernel for tensors without data."""
    with ExitStack() as stack:
        for module in model.modules():
            if isinstance(getattr(module, "rpn_head", None), BaseDenseHead):
                _replace(stack, module.rpn_head, "predict", _propose(module.rpn_head))
            # Subclasses have forward passes of their own.
            if type(module).forward is CascadeRoIHead.forward:
                _replace(stack, module, "forward", _cascade(module))
            if isinstance(module, SingleRoIExtractor):
                _replace(stack, module, "forward", _extract(module))
            elif isinstance(module, BaseRoIExtractor):
                for layer in module.roi_layers:
                    _replace(stack, layer, "forward", _pool(layer))
        yield


def _replace(stack: ExitStack, module: nn.Module, name: str, function: Callable) -> None:
    setattr(module, name, function)  # hides the method of the class
    stack.callback(delattr, module, name)


def _propose(rpn_head: nn.Module) -> Callable:
    def predict(x: tuple[Tensor, ...], *args: Any, **kwargs: Any) -> list[InstanceData]:
        rpn_head(x)
        boxes = torch.tensor([[0.0, 0.0, 32.0, 32.0]]).repeat(NUM_PROPOSALS, 1)
        return [InstanceData(bboxes=boxes, scores=boxes[:, 0], labels=boxes[:, 0].long())]

    return predict


def _extract(extractor: nn.Module) -> Callable:
    def forward(features: tuple[Tensor, ...], rois: Tensor, *args: Any) -> Tensor:
        size = extractor.roi_layers[0].output_size
        return features[0].new_zeros(len(rois), extractor.out_channels, *size)

    return forward


def _pool(layer: nn.Module) -> Callable:
    def forward(feature: Tensor, rois: Tensor) -> Tensor:
        return feature.new_zeros(len(rois), feature.shape[1], *layer.output_size)

    return forward


def _cascade(roi_head: nn.Module) -> Callable:
    """Keep the number of boxes and masks from stage to stage."""

    def forward(x: tuple[Tensor, ...], proposals: list[InstanceData], *args: Any) -> None:
        rois = bbox2roi([instances.bboxes for instances in proposals])
        for stage in range(roi_head.num_stages):
            roi_head._bbox_forward(stage, x, rois)
            if roi_head.with_mask:
                roi_head._mask_forward(stage, x, rois[:NUM_MASKS])

    return forward
