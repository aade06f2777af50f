"""Raises the numbers that a detector is limited to per image, for datasets with many objects."""

from ..checks.limits import find_limits
from ..evaluation.max_dets import MAX_DETECTIONS, detections_needed, most_objects


def fit_limits(cfg: dict, *parts: dict) -> str:
    """Let a detector return enough detections for the images of a dataset.

    Args:
        cfg: `model` and `tta_model` of a config, changed in place.
        *parts: COCO content of the training and of the validation images.

    Returns:
        A description of the result.
    """
    objects = max(most_objects(part["annotations"], by_class=False) for part in parts)
    changed = raise_limits(cfg, objects)
    numbers = "".join(f", {key} {value}" for key, value in changed.items())
    return f"up to {objects} objects in an image{numbers or '; limits unchanged'}"


def raise_limits(cfg: dict, objects: int) -> dict[str, int]:
    """Let a detector return enough detections of an image.

    The numbers of proposals and candidates are raised in proportion. Numbers that weights depend
    on, such as that of a transformer's queries, stay, and no more detections than that are asked
    for.

    Args:
        cfg: `model` and `tta_model` of a config, changed in place.
        objects: Largest number of objects in an image.

    Returns:
        The new values of what was changed; nothing if the detector can return as many detections.
    """
    limits = find_limits(cfg)
    if objects <= MAX_DETECTIONS and all(limit.value >= objects for limit in limits):
        return {}
    most = min([detections_needed(objects), *(limit.value for limit in limits if limit.is_fixed)])
    changed = {}
    for limit in limits:
        value = most * limit.per_detection
        if not limit.is_fixed and limit.value < value:
            limit.node[limit.name] = changed[limit.key] = value
    return changed
