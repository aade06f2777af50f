"""Detections and features of PyTorch and of an exported file, on the same pixels."""

import contextlib
import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample
from torch import nn

from ..inference.instances import to_detections
from ..models.deploy import relative_error
from ..runtime import Detector
from ..runtime.engines import open_engine
from ..runtime.preprocessing import fit
from ..runtime.results import Detections
from .detectors import ExportedBackbone

_MAX_CANDIDATES = 100_000


@torch.no_grad()
def detect_with_both(
    model: nn.Module, detector: Detector, image: np.ndarray
) -> tuple[Detections, Detections]:
    """Detect objects with PyTorch and with an exported file, on the same pixels.

    Args:
        model: The fused detector.
        detector: The exported file, with a score threshold of 0.
        image: Uint8 `(height, width, 3)` in BGR.

    Returns:
        PyTorch's and the file's detections, in coordinates of the resized image.
    """
    array = fit(image, detector.metadata)[0]
    expected = _detect(model, detector, array)
    batch = array[None].repeat(detector.metadata.batch_size or 1, axis=0)
    outputs = {name: output[0] for name, output in detector.engine.run(batch).items()}
    return expected, detector.finish(outputs, (1.0, 1.0), array.shape[:2])


@torch.no_grad()
def find_candidates(model: nn.Module, detector: Detector, image: np.ndarray) -> Detections:
    """Detect objects with PyTorch, without non-maximum suppression and without masks.

    Args:
        model: The fused detector, a single- or two-stage one.
        detector: Same as for `detect_with_both`.
        image: Uint8 `(height, width, 3)` in BGR.
    """
    with _without_nms(model):
        return _detect(model, detector, fit(image, detector.metadata)[0], masks=False)


def _detect(
    model: nn.Module, detector: Detector, array: np.ndarray, masks: bool = True
) -> Detections:
    size = array.shape[:2]
    meta = dict(img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0))
    inputs = torch.from_numpy(array).permute(2, 0, 1)
    sample = DetDataSample(metainfo=meta)
    (found,) = model.test_step(dict(inputs=[inputs], data_samples=[sample]))
    instances = found.pred_instances
    if not masks:
        instances.pop("masks", None)
    if detector.metadata.input_size is not None:
        # As the runtime does; the boxes of some heads, such as YOLOX's, leave the image.
        height, width = size
        boxes = instances.bboxes
        boxes = boxes.clamp(min=0).minimum(boxes.new_tensor([width, height, width, height]))
        instances.bboxes = boxes
        instances = instances[(boxes[:, 2:] > boxes[:, :2]).all(dim=1)]
    return to_detections(instances, lambda scores, _: scores >= 0, detector.classes, size)


@contextlib.contextmanager
def _without_nms(model: nn.Module) -> Iterator[None]:
    names = ("rpn_head", "roi_head") if hasattr(model, "roi_head") else ("bbox_head",)
    heads = [getattr(model, name) for name in names]
    configs = [head.test_cfg for head in heads]
    masks = getattr(heads[-1], "mask_head", None) if len(heads) > 1 else None
    drawing = "_mask_predict_by_feat_single"
    try:
        for head in heads:
            head.test_cfg = copy.deepcopy(head.test_cfg)
            head.test_cfg.nms.iou_threshold = 2.0  # which no pair exceeds
            head.test_cfg.max_per_img = _MAX_CANDIDATES
        if masks is not None:
            heads[-1].mask_head = None
        if hasattr(heads[-1], drawing):
            setattr(heads[-1], drawing, _draw_nothing)
        yield
    finally:
        for head, config in zip(heads, configs):
            head.test_cfg = config
        if masks is not None:
            heads[-1].mask_head = masks
        heads[-1].__dict__.pop(drawing, None)


def _draw_nothing(features: torch.Tensor, kernels: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    return features.new_zeros(len(kernels), 1, 1)


@torch.no_grad()
def feature_error(model: nn.Module, path: Any, images: Sequence[np.ndarray]) -> float:
    """Compare the features of an exported backbone with PyTorch's.

    Args:
        model: The fused detector.
        path: The exported file.
        images: Uint8 `(height, width, 3)` each, BGR.

    Returns:
        The largest difference, relative to the largest value of its feature; NaN if any difference
        is NaN.
    """
    engine, backbone = open_engine(path), ExportedBackbone(model)
    errors = []
    for image in images:
        array = fit(image, engine.metadata)[0][None]
        array = array.repeat(engine.metadata.batch_size or 1, axis=0)
        found = map(torch.from_numpy, engine.run(array).values())
        errors.append(relative_error(found, backbone(torch.from_numpy(array))))
    return float(np.max(errors))  # NaN if one is
