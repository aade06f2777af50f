"""How long, how fast and at which size a data set is trained."""

import math
from typing import Optional

import numpy as np

BASE_BATCH_SIZE = 8
# Learning rates of AdamW for a batch of 8, by what a training starts from.
BASE_RATES = {"detector": 5e-4, "backbone": 2e-4, "nothing": 1.5e-3}
_ITERATIONS = 4000
_LARGEST = (1333, 800)  # as on COCO


def image_size(content: dict) -> tuple[int, int]:
    """Choose the size that pictures are resized into: their own, up to COCO's.

    Args:
        content: COCO's images.

    Returns:
        Longer and shorter side, multiples of 32 unless they are COCO's, which nine in ten of
        the pictures don't exceed.
    """
    sides = np.sort([(image["width"], image["height"]) for image in content["images"]], axis=1)
    shorter, longer = np.percentile(sides, 90, axis=0)
    factor = min(1.0, _LARGEST[0] / longer, _LARGEST[1] / shorter)
    longer, shorter = (32 * math.ceil(round(side * factor) / 32) for side in (longer, shorter))
    return min(longer, _LARGEST[0]), min(shorter, _LARGEST[1])


def num_epochs(num_images: int, batch_size: int) -> int:
    """Choose the number of epochs: about 4,000 iterations, and 6 to 100 epochs."""
    return min(max(round(_ITERATIONS * batch_size / num_images), 6), 100)


def learning_rate(start: str, batch_size: int) -> float:
    """Choose AdamW's learning rate: in proportion to the batch size.

    Args:
        start: What the weights are of: `detector`, `backbone` or `nothing`.
        batch_size: Images in a batch, of all processes together.
    """
    return float(f"{BASE_RATES[start] * batch_size / BASE_BATCH_SIZE:.3g}")


def schedule(
    epochs: int, iterations: int, rate: float, batch_size: int, layer_decay: bool
) -> dict[str, object]:
    """Write the part of a config that says how to train.

    Args:
        epochs: How often each picture is seen.
        iterations: Batches in an epoch.
        rate: Learning rate.
        batch_size: Images in a batch.
        layer_decay: Whether layers near the image learn more slowly, as in the published recipe.
    """
    warm_up = min(200, epochs * iterations // 10)
    paramwise: Optional[dict] = dict(norm_decay_mult=0.0, bias_decay_mult=0.0)
    wrapper: dict[str, object] = dict(
        type="OptimWrapper",
        optimizer=dict(type="AdamW", lr=rate, weight_decay=0.05),
        clip_grad=dict(max_norm=10.0),
        paramwise_cfg=dict(num_layers=6, decay_rate=0.6) if layer_decay else paramwise,
    )
    if layer_decay:
        wrapper["constructor"] = "LayerDecay"
    return dict(
        train_cfg=dict(type="EpochBasedTrainLoop", max_epochs=epochs, val_interval=1),
        optim_wrapper=wrapper,
        param_scheduler=[
            # Of one iteration it would never come back to the full rate.
            *(
                [dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=warm_up)]
                * (warm_up > 1)
            ),
            dict(
                type="CosineAnnealingLR",
                begin=0,
                end=epochs,
                T_max=epochs,
                eta_min=rate / 100,
                by_epoch=True,
                convert_to_iter_based=True,
            ),
        ],
        auto_scale_lr=dict(enable=False, base_batch_size=batch_size),
    )
