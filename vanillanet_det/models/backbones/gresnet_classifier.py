"""GResNet with its classification head."""

from typing import Any, Callable

from torch import Tensor, nn

from ...errors import UserError
from .archs import whole_number
from .gresnet import GResNetwork


class GResNetClassifierNetwork(GResNetwork):
    """GResNet with its head, for image classification: pooling, dropout and a 1x1 convolution.

    Args:
        depth: As for `GResNetwork`.
        num_classes: Number of classes.
        dropout: Fraction of the pooled channels to drop in training.
        **kwargs: Other arguments of `GResNetwork`, except `out_indices`.

    Raises:
        UserError: An argument is invalid; the message states what was expected.
    """

    def __init__(
        self, depth: int = 50, num_classes: int = 1000, dropout: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(depth, out_indices=(3,), **kwargs)
        self._build_head(nn.AdaptiveAvgPool2d(1), dropout, self.out_channels[-1], num_classes)

    def _build_head(
        self, pool: nn.Module, dropout: float, in_channels: int, num_classes: int
    ) -> None:
        if not whole_number(num_classes, 1):
            raise UserError(f"GResNet: num_classes {num_classes!r}; expected a positive integer")
        self.cls = nn.Sequential(pool, nn.Dropout(dropout), nn.Conv2d(in_channels, num_classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map images `(N, in_channels, H, W)` to logits `(N, num_classes)`."""
        return self._head(self._features(x)[-1]).flatten(1)

    def named_layers(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """Return the layers of the stem, the blocks and the head (protocol `HasLayers`)."""
        return {**super().named_layers(), "logits": self._head}

    def _head(self, x: Tensor) -> Tensor:
        return self.cls(x)
