"""Chooses the default input size, learning rate and schedule for a dataset."""

import math

import numpy as np

BASE_BATCH_SIZE = 8
# AdamW's learning rates for a batch of 8, by the kind of weights that training starts from.
BASE_RATES = {"detector": 5e-4, "backbone": 2e-4, "nothing": 1.5e-3}
_ITERATIONS = 4000
_MAX_SIZE = (1333, 800)  # the usual size on COCO


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
    epochs: int, iterations: int, rate: float, batch_size: int, layer_decay: bool
) -> dict[str, object]:
    """Build the training loop, optimizer and learning rate schedule of a config.

    Args:
        epochs: Number of epochs.
        iterations: Iterations per epoch.
        rate: Learning rate.
        batch_size: Number of images in a batch.
        layer_decay: Whether to use layer-wise learning rate decay, as in the published recipe.
    """
    warm_up = min(200, epochs * iterations // 10)
    # Some heads share convolutions across levels.
    paramwise = dict(norm_decay_mult=0.0, bias_decay_mult=0.0, bypass_duplicate=True)
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
            # A warm-up of one iteration would never reach the full rate.
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
