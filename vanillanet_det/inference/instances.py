"""Detections from what MMDetection predicts."""

import numpy as np
from mmengine.structures import InstanceData

from ..runtime.results import Detections


def detections_of(
    instances: InstanceData, score: float, classes: tuple[str, ...], size: tuple[int, int]
) -> Detections:
    """Take those of MMDetection's predictions that reach a score.

    Args:
        instances: What was predicted for an image.
        score: The least score.
        classes: Names of the classes.
        size: Height and width of the image in pixels.

    Returns:
        The detections, highest score first.
    """
    scores = instances.scores.float().cpu().numpy()
    chosen = np.flatnonzero(scores >= score)
    chosen = chosen[np.argsort(-scores[chosen], kind="stable")]
    masks = None
    if "masks" in instances:
        masks = np.asarray(instances.masks[chosen.tolist()].cpu()).astype(bool)
        masks = masks.reshape(-1, *size)
    return Detections(
        boxes=instances.bboxes.float().cpu().numpy().reshape(-1, 4)[chosen],
        scores=scores[chosen],
        labels=instances.labels.cpu().numpy()[chosen].astype(np.int64),
        masks=masks,
        classes=classes,
        size=size,
    )
