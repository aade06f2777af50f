"""ImageNet recipes: VanillaNet's (https://arxiv.org/abs/2305.12972), and others."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

BATCH_SIZE = 1024
"""Images of an iteration, for which the learning rates are meant."""
ITERATIONS = 300 * (1_281_167 // BATCH_SIZE)
"""Of the published training, over which the weights are averaged."""
GRESNETS = ("gresnet50", "gresnet101")


@dataclass(frozen=True)
class Recipe:
    """What a recipe has of its own; see `PretrainOptions` for what all have in common.

    Attributes:
        lr: Learning rate for `BATCH_SIZE` images.
        weight_decay: Weight decay.
        mixup: Alpha of mixup.
        layer_decay: Factor of the learning rate from layer to layer, and the number of layers;
            None for the same rate everywhere.
        published: Whether it is published for this network.
        epochs: Its length, of which the first five are for warm-up.
        options: Further `PretrainOptions` in which it differs.
    """

    lr: float
    weight_decay: float
    mixup: float
    layer_decay: Optional[tuple[float, int]] = None
    published: bool = True
    epochs: int = 300
    options: Mapping[str, Any] = field(default_factory=dict)


_PUBLISHED = {
    "vanillanet5": Recipe(3.5e-3, 0.35, 0.1),
    "vanillanet6": Recipe(4.8e-3, 0.32, 0.15, (0.8, 4)),
    "vanillanet7": Recipe(4.7e-3, 0.35, 0.4, (0.8, 5)),
    "vanillanet8": Recipe(3.5e-3, 0.3, 0.4),
    "vanillanet9": Recipe(3.5e-3, 0.3, 0.4),
    "vanillanet10": Recipe(3.5e-3, 0.25, 0.4),
}
# Its description names length, resolution, optimizer, label smoothing, mixup, cutmix and averaging,
# but neither learning rate, weight decay nor alpha; no other augmentation is named.
_GRESNET = Recipe(
    0.4,
    5e-5,
    0.2,
    published=False,
    epochs=450,
    options=dict(
        optimizer="sgd",
        input_size=(176, 176),
        loss="ce",
        auto_augment="none",
        colour_jitter=0.0,
        erasing=0.0,
        deep="none",
    ),
)


def recipe_of(model: str) -> Recipe:
    """Return the recipe of a network.

    Args:
        model: As in `PretrainOptions`. VanillaNets without a recipe, and networks of libraries,
            have that of VanillaNet-10, marked as ours.
    """
    if model in GRESNETS:
        return _GRESNET
    ten = _PUBLISHED["vanillanet10"]
    ours = Recipe(ten.lr, ten.weight_decay, ten.mixup, published=False)
    return _PUBLISHED.get(model.replace("_", "", 1), ours)
