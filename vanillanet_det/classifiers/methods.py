"""The methods and arguments that timm's networks have in common."""

from collections.abc import Sequence
from typing import Optional, Union

import torch
from timm.layers import SelectAdaptivePool2d
from timm.models._features import feature_take_indices
from torch import Tensor, nn

from ..errors import UserError
from ..models.backbones.archs import whole_number
from .weights import HEADS

_HEADS = [name.rstrip(".") for name in HEADS]


class TimmMethods:
    """Mixin that gives a classifier of this project timm's methods.

    The classifier has `_features(x, indices)`, `_build_head(pool, dropout, in_channels,
    num_classes)` and `_head(x)`, a `ModuleList` of `stages`, and its head in modules whose names
    are in `HEADS`, the first of which begins with pooling and dropout.

    Attributes:
        num_classes: Number of classes; 0 for the pooled features.
        num_features: Channels of the last feature.
        head_hidden_size: Channels of the pooled features.
        global_pool: timm's name of the pooling; '' for none.
    """

    extra_stages = 0
    """What to add to the index of a feature for the number of stages that lead to it."""

    def timm_features(self) -> list[tuple[int, int, str, int]]:
        """Return channels, stride, module and index in `_features` of each feature of timm's."""
        raise NotImplementedError

    def _build_head(
        self, pool: nn.Module, dropout: float, in_channels: int, num_classes: int
    ) -> None:
        self.num_classes, self.num_features = num_classes, in_channels
        try:
            pool = SelectAdaptivePool2d(pool_type=self.global_pool)
        except AssertionError as error:
            raise UserError(
                f"global_pool {self.global_pool!r}; expected avg, max, avgmax, catavgmax or ''"
            ) from error
        self.head_hidden_size = in_channels * pool.feat_mult()
        if whole_number(num_classes, 0) and not num_classes:
            self.cls = nn.Sequential(pool, nn.Dropout(dropout))
        else:
            super()._build_head(pool, dropout, self.head_hidden_size, num_classes)
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d) and name.startswith(HEADS):
                initialize(module)  # of a new head, too

    def forward(self, x: Tensor) -> Tensor:
        """Map images `(N, in_chans, H, W)` to logits `(N, num_classes)`, or to features."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """Map images to the last feature `(N, num_features, h, w)`."""
        return self._features(x)[-1]

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Map the last feature to logits `(N, num_classes)`.

        Args:
            x: The feature.
            pre_logits: Return the pooled features `(N, head_hidden_size)` instead.
        """
        if pre_logits:
            pool, dropout = (self.cls if hasattr(self, "cls") else self.cls1)[:2]
            x = dropout(pool(x))
        else:
            x = self._head(x)
        return x.flatten(1) if self.global_pool else x

    # What follows are timm's methods, with its arguments.

    @property
    def feature_info(self) -> list[dict]:
        """Channels, stride and module of each feature."""
        return [
            dict(num_chs=channels, reduction=stride, module=module)
            for channels, stride, module, _ in self._kept_features()
        ]

    def _kept_features(self) -> list[tuple[int, int, str, int]]:
        """Return the features before the layers that pruning has removed."""
        return [each for each in self.timm_features() if each[-1] <= self.out_indices[-1]]

    def forward_intermediates(
        self,
        x: Tensor,
        indices: Union[int, Sequence[int], None] = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> Union[list[Tensor], tuple[Tensor, list[Tensor]]]:
        """Compute several features.

        Args:
            x: Images of shape `(N, in_chans, H, W)`.
            indices: Features in `feature_info`; a number for the last ones, None for all.
            norm: Ignored; there is no last normalisation.
            stop_early: Compute nothing after the last one of them.
            output_fmt: 'NCHW'.
            intermediates_only: Return only them.

        Returns:
            The last feature that was computed, and a list of those that were asked for.
        """
        if output_fmt != "NCHW":
            raise UserError(f"output_fmt {output_fmt!r}; expected 'NCHW'")
        taps, _ = self._taps(indices)
        end = max(taps) if stop_early else self.out_indices[-1]
        features = self._features(x, (*taps, end))
        intermediates = list(features[: len(taps)])
        return intermediates if intermediates_only else (features[-1], intermediates)

    def _taps(self, indices: Union[int, Sequence[int], None]) -> tuple[list[int], list[int]]:
        """Return the layers of some features in `feature_info`, and the features' numbers."""
        layers = [layer for *_, layer in self._kept_features()]
        taken, _ = feature_take_indices(len(layers), indices)
        return [layers[index] for index in taken], taken

    def prune_intermediate_layers(
        self,
        indices: Union[int, Sequence[int]] = 1,
        prune_norm: bool = False,
        prune_head: bool = True,
    ) -> list[int]:
        """Remove the layers after the last one of some features, and the head with them.

        Args:
            indices: As for `forward_intermediates`.
            prune_norm: Ignored; there is no last normalisation.
            prune_head: Remove the head in any case.

        Returns:
            The features' numbers.
        """
        layers, taken = self._taps(indices)
        last = max(layers)
        if prune_head or last < self.out_indices[-1]:
            del self.stages[last + self.extra_stages :]
            self.out_indices = (last,)
            self.num_features = self.timm_features()[max(taken)][0]
            self.reset_classifier(0, "")
        return taken

    def get_classifier(self) -> Union[nn.Module, tuple[nn.Module, ...]]:
        """Return the layers that depend on the number of classes."""
        if hasattr(self, "cls1"):
            return self.cls1[2], self.cls2[0]
        return self.cls[2] if self.num_classes else nn.Identity()

    def reset_classifier(self, num_classes: int, global_pool: Optional[str] = None) -> None:
        """Replace the head with a new one.

        Args:
            num_classes: As in the constructor.
            global_pool: As in the constructor; None for the same as before.
        """
        heads = [name for name in _HEADS if hasattr(self, name)]
        dropout, like = getattr(self, heads[0])[1].p, next(self.stages.parameters(), None)
        like = next(self.parameters()) if like is None else like
        for name in heads:
            delattr(self, name)
        self.global_pool = self.global_pool if global_pool is None else global_pool
        with torch.device(like.device):
            self._build_head(nn.Identity(), dropout, self.num_features, num_classes)
        for name in _HEADS:
            if hasattr(self, name):
                getattr(self, name).to(like.dtype).train(self.training)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute features in the backward pass instead of keeping them."""
        self.with_cp = enable

    def no_weight_decay(self) -> set[str]:
        """Return names of parameters without weight decay, besides all of one dimension."""
        return set()

    @property
    def in_chans(self) -> int:
        """Channels of the image."""
        return self.in_channels


def initialize(conv: nn.Conv2d) -> None:
    """Initialise a convolution as published."""
    nn.init.trunc_normal_(conv.weight, std=0.02)
    nn.init.zeros_(conv.bias)
