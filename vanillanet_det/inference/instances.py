"""Conversion between MMDetection's instances and our detections."""

from typing import Callable

import numpy as np
import torch
from mmengine.structures import InstanceData

from ..runtime.results import Detections


def to_detections(
    instances: InstanceData,
    is_chosen: Callable[[np.ndarray, np.ndarray], np.ndarray],
    classes: tuple[str, ...],
    size: tuple[int, int],
) -> Detections:
    """Convert MMDetection's predictions for an image.

    Args:
        instances: The predictions.
        is_chosen: Returns which predictions are kept, from their scores and labels.
        classes: Class names.
        size: Height and width of the image in pixels.

    Returns:
        The detections, highest score first.
    """
    scores = instances.scores.float().cpu().numpy()
    labels = instances.labels.cpu().numpy().astype(np.int64)
    chosen = np.flatnonzero(is_chosen(scores, labels))
    chosen = chosen[np.argsort(-scores[chosen], kind="stable")]
    masks = None
    if "masks" in instances:
        masks = np.asarray(instances.masks[chosen.tolist()].cpu()).astype(bool)
        masks = masks.reshape(-1, *size)
    return Detections(
        boxes=instances.bboxes.float().cpu().numpy().reshape(-1, 4)[chosen],
        scores=scores[chosen],
        labels=labels[chosen],
        masks=masks,
        classes=classes,
        size=size,
    )


def to_instances(found: Detections) -> InstanceData:
    """Convert detections to MMDetection's predictions."""
    instances = InstanceData(
        bboxes=torch.from_numpy(found.boxes),
        scores=torch.from_numpy(found.scores),
        labels=torch.from_numpy(found.labels),
    )
    if found.masks is not None:
        instances.masks = torch.from_numpy(found.masks)
    return instances
