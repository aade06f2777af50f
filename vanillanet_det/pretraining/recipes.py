"""The published ImageNet recipes of VanillaNet (https://arxiv.org/abs/2305.12972)."""

from dataclasses import dataclass
from typing import Optional

BATCH_SIZE = 1024
"""Images of an iteration, for which the learning rates are meant."""
ITERATIONS = 300 * (1_281_167 // BATCH_SIZE)
"""Of the published training, over which the weights are averaged."""


@dataclass(frozen=True)
class Recipe:
    """What a recipe has of its own; see `PretrainOptions` for what all have in common.

    Attributes:
        lr: Learning rate for `BATCH_SIZE` images.
        weight_decay: Weight decay.
        mixup: Alpha of mixup.
        layer_decay: Factor of the learning rate from layer to layer, and the number of layers;
            None for the same rate everywhere.
        published: Whether it is published for this arch.
    """

    lr: float
    weight_decay: float
    mixup: float
    layer_decay: Optional[tuple[float, int]] = None
    published: bool = True


_PUBLISHED = {
    "5": Recipe(3.5e-3, 0.35, 0.1),
    "6": Recipe(4.8e-3, 0.32, 0.15, (0.8, 4)),
    "7": Recipe(4.7e-3, 0.35, 0.4, (0.8, 5)),
    "8": Recipe(3.5e-3, 0.3, 0.4),
    "9": Recipe(3.5e-3, 0.3, 0.4),
    "10": Recipe(3.5e-3, 0.25, 0.4),
}


def recipe_of(arch: Optional[str]) -> Recipe:
    """Return the recipe of an arch; for one without, that of VanillaNet-10, marked as ours.

    Args:
        arch: A published arch, or None for another network.
    """
    ten = _PUBLISHED["10"]
    ours = Recipe(ten.lr, ten.weight_decay, ten.mixup, published=False)
    return _PUBLISHED.get(arch or "", ours)
