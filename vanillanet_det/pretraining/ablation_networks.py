"""Networks that VanillaNet's ideas are compared with."""

from functools import partial
from typing import Any, Callable

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from ..models.backbones.mmdet_vanillanet import VanillaNetClassifier
from ..models.layers.stage import Stage


@MODELS.register_module()
class ShortcutClassifier(VanillaNetClassifier):
    """VanillaNet with an identity around each stage.

    The shortcut is pooled like the stage, and padded with zeros to its channels.

    Args:
        *args: As for `VanillaNetClassifier`.
        **kwargs: As for `VanillaNetClassifier`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_buffer("shortcuts", torch.tensor(1))  # other networks refuse the weights

    @property
    def layers(self) -> list[Callable[[Tensor, float], Tensor]]:
        """The stem and the stages, as functions of a feature and lambda."""
        stem, *stages = super().layers
        return [stem, *(partial(_with_shortcut, stage) for stage in stages)]


def _with_shortcut(stage: Stage, x: Tensor, act_lambda: float) -> Tensor:
    y, kept = stage(x, act_lambda), stage.pool(x)
    return y + F.pad(kept, (0, 0, 0, 0, 0, y.shape[1] - kept.shape[1]))


def narrow_alexnet(num_classes: int, in_channels: int = 3) -> nn.Module:
    """Build AlexNet with a quarter of its channels, and 256 features before the classes.

    Its layers are those of torchvision's AlexNet (https://arxiv.org/abs/1404.5997).
    """
    from torchvision.models import AlexNet

    model = AlexNet(num_classes)
    for index, layer in enumerate(model.features):
        if isinstance(layer, nn.Conv2d):
            before = in_channels if index == 0 else layer.in_channels // 4
            model.features[index] = _like(layer, before, layer.out_channels // 4)
    last = model.features[10].out_channels * 6 * 6
    dropout = partial(nn.Dropout, 0.5)
    model.classifier = nn.Sequential(
        *(dropout(), nn.Linear(last, 256), nn.ReLU()),
        *(dropout(), nn.Linear(256, 256), nn.ReLU()),
        nn.Linear(256, num_classes),
    )
    return model


def _like(conv: nn.Conv2d, in_channels: int, out_channels: int) -> nn.Conv2d:
    options: dict[str, Any] = {
        name: getattr(conv, name) for name in ("kernel_size", "stride", "padding")
    }
    return nn.Conv2d(in_channels, out_channels, **options)
