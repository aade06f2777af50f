"""Chooses the default input size, learning rate and schedule for a dataset."""

import math

import numpy as np
from mmengine.config import Config

from ..configs import type_name

BASE_BATCH_SIZE = 8
# AdamW's learning rates for a batch of 8, by the kind of weights that training starts from.
BASE_RATES = {"detector": 5e-4, "backbone": 2e-4, "nothing": 1.5e-3}
_ITERATIONS = 4000
_MAX_SIZE = (1333, 800)  # the usual size on COCO
_OBJECT_SIDE = 14  # pixels, of the median object of the smallest class
_LIGHT_SIDES = (256, 640)


def default_input_size(coco: dict) -> tuple[int, int]:
    """Choose the size that images are resized to: their own size, limited to COCO's.

    Args:
        coco: COCO's images.

    Returns:
        Longer and shorter side: the 90th percentile over the dataset, rounded up to a multiple of
        32 and limited to 1333 x 800.
    """
    sides = np.sort([(image["width"], image["height"]) for image in coco["images"]], axis=1)
    shorter, longer = np.percentile(sides, 90, axis=0)
    factor = min(1.0, _MAX_SIZE[0] / longer, _MAX_SIZE[1] / shorter)
    longer, shorter = (32 * math.ceil(round(side * factor) / 32) for side in (longer, shorter))
    return min(longer, _MAX_SIZE[0]), min(shorter, _MAX_SIZE[1])


def light_input_size(coco: dict) -> tuple[int, int]:
    """Choose the smallest size at which the objects can still be seen.

    Args:
        coco: COCO's images and annotations.

    Returns:
        Longer and shorter side: the median object of each class has a side of at least 14 pixels,
        and the longer side 256 to 640, but at most that of `default_input_size`.
    """
    longest = default_input_size(coco)
    sizes: dict[int, list[float]] = {}
    for annotation in coco["annotations"]:
        if not annotation.get("iscrowd"):
            width, height = annotation["bbox"][2:]
            sizes.setdefault(annotation["category_id"], []).append(math.sqrt(width * height))
    smallest = min((np.median(sides) for sides in sizes.values()), default=_OBJECT_SIDE)
    side = longest[0] * _OBJECT_SIDE / max(smallest, 1e-6)
    factor = min(1.0, min(max(side, _LIGHT_SIDES[0]), _LIGHT_SIDES[1]) / longest[0])
    return tuple(32 * math.ceil(round(factor * each) / 32) for each in longest)


def num_epochs(num_images: int, batch_size: int) -> int:
    """Choose a number of epochs from 6 to 100 that results in about 4,000 iterations."""
    return min(max(round(_ITERATIONS * batch_size / num_images), 6), 100)


def learning_rate(start: str, batch_size: int) -> float:
    """Choose AdamW's learning rate, proportional to the batch size.

    Args:
        start: What the initial weights are for: `detector`, `backbone` or `nothing`.
        batch_size: Number of images in a batch, summed over all processes.
    """
    return float(f"{BASE_RATES[start] * batch_size / BASE_BATCH_SIZE:.3g}")


def schedule(
    epochs: int, iterations: int, rate: float, batch_size: int, layer_decay: bool, flat: float = 0.0
) -> dict[str, object]:
    """Build the training loop, optimizer and learning rate schedule of a config.

    Args:
        epochs: Number of epochs.
        iterations: Iterations per epoch.
        rate: Learning rate.
        batch_size: Number of images in a batch.
        layer_decay: Whether to use layer-wise learning rate decay, as in the published recipe.
        flat: Share of the training after which the learning rate decreases.
    """
    # Some heads share convolutions across levels.
    paramwise = dict(norm_decay_mult=0.0, bias_decay_mult=0.0, bypass_duplicate=True)
    wrapper: dict[str, object] = dict(
        type="OptimWrapper",
        optimizer=dict(type="FusedAdamW", lr=rate, weight_decay=0.05),
        clip_grad=dict(max_norm=10.0),
        paramwise_cfg=dict(num_layers=6, decay_rate=0.6) if layer_decay else paramwise,
    )
    if layer_decay:
        wrapper["constructor"] = "LayerDecay"
    return dict(
        train_cfg=dict(type="EpochBasedTrainLoop", max_epochs=epochs, val_interval=1),
        optim_wrapper=wrapper,
        param_scheduler=[
            dict(type="WarmUpFlatCosineLR", warm_up=min(200, epochs * iterations // 10), flat=flat)
        ],
        auto_scale_lr=dict(enable=False, base_batch_size=batch_size),
    )


def flat_share(template: Config) -> float:
    """Return the share of the training after which a config's learning rate decreases.

    It is that of its WarmUpFlatCosineLR; 0 for other schedules.
    """
    schedulers = template.get("param_scheduler") or ()
    schedulers = [schedulers] if isinstance(schedulers, dict) else schedulers
    found = [each for each in schedulers if type_name(each) == "WarmUpFlatCosineLR"]
    return found[0].get("flat", 0.0) if found else 0.0


def set_averaging(cfg: Config, iterations: int) -> None:
    """Average weights, if they are averaged, over about a twentieth of the run.

    Args:
        cfg: Config of the run, changed in place.
        iterations: Iterations of the whole run.
    """
    for hook in (*cfg.default_hooks.values(), *(cfg.get("custom_hooks") or ())):
        if hook and type_name(hook) == "EMAHook":
            hook.momentum = min(0.1, max(2e-4, 20 / iterations))
