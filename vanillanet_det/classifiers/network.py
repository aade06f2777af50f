"""VanillaNet with the arguments and methods of timm's networks; `vanillanet.py` registers it."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Optional, Union

import torch
from timm.layers import SelectAdaptivePool2d
from timm.models._features import feature_take_indices
from timm.models._manipulate import adapt_input_conv
from torch import Tensor, nn

from ..checkpoints.checkpoint import Checkpoint
from ..errors import UserError
from ..models.backbones.archs import whole_number
from ..models.backbones.classifier import ClassifierNetwork
from .weights import HEADS, filter_checkpoint


class VanillaNetTimm(ClassifierNetwork):
    """VanillaNet with timm's arguments and methods.

    A feature for timm (`features_only`, `forward_intermediates`) is the last one of its stride, as
    for detectors: four of them, at strides 4, 8, 16 and 32 (3, 6, 12 and 24 with `ada_pool`).

    Args:
        arch: As for `VanillaNetwork`.
        num_classes: Number of classes; 0 for the pooled features.
        in_chans: Channels of the image.
        global_pool: timm's name of a pooling; '' for none.
        drop_rate: Fraction of the pooled channels to drop in training.
        act_num: `n` of the series activation, whose kernel size is `2 n + 1`.
        deploy: Build the deployed form: one convolution per layer, no BatchNorm.
        ada_pool: As for `VanillaNetwork`.
        stem_stride: As for `VanillaNetwork`.
        stem_padding: As for `VanillaNetwork`.
        device: Where to build it.
        dtype: Precision of its floating-point tensors.

    Attributes:
        num_features: Channels of the last feature.
        head_hidden_size: Channels of the pooled features.

    Raises:
        UserError: An argument is invalid; the message states what was expected.

    Example:
        >>> import timm, vanillanet_det.classifiers
        >>> model = timm.create_model("vanillanet_5", num_classes=10).eval()
        >>> model(torch.rand(1, 3, 64, 64)).shape
        torch.Size([1, 10])
        >>> model.switch_to_deploy()  # or timm.utils.reparameterize_model(model)
    """

    def __init__(
        self,
        arch: Union[str, dict] = "11",
        num_classes: int = 1000,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        act_num: int = 3,
        deploy: bool = False,
        ada_pool: Union[bool, Sequence[int], None] = None,
        stem_stride: Optional[int] = None,
        stem_padding: Optional[int] = None,
        device: Union[torch.device, str, None] = None,
        dtype: Optional[torch.dtype] = None,
    ) -> None:
        self.global_pool = global_pool
        with nullcontext() if device is None else torch.device(device):
            super().__init__(
                arch,
                num_classes,
                drop_rate,
                in_channels=in_chans,
                act_num=act_num,
                deploy=deploy,
                ada_pool=ada_pool,
                stem_stride=stem_stride,
                stem_padding=stem_padding,
            )
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d) and not name.startswith(HEADS):
                _initialize(module)
        children = dict(self._modules)
        self._modules.clear()
        self.whole = _Whole(self)  # before the others, of which it changes some
        self._modules.update(children)
        self.to(dtype=dtype)

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
                _initialize(module)  # of a new head, too

    def forward(self, x: Tensor) -> Tensor:
        """Map images `(N, in_chans, H, W)` to logits `(N, num_classes)`, or to features."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """Map images to the last feature `(N, num_features, h, w)`."""
        return self._features(x, self.read_lambda())[-1]

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
            x = self._head(x, self.read_lambda())
        return x.flatten(1) if self.global_pool else x

    # What follows are timm's methods, with its arguments.

    @property
    def feature_info(self) -> list[dict]:
        """Channels, stride and module of each feature."""
        stem = "stem" if hasattr(self, "stem") else "stem2"
        return [
            dict(
                num_chs=self.arch.dims[index],
                reduction=self.arch.feature_strides[index],
                module=f"stages.{index - 1}" if index else stem,
            )
            for index in self.arch.last_of_each_stride
        ]

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
        features = self._features(x, self.read_lambda(), (*taps, end))
        intermediates = list(features[: len(taps)])
        return intermediates if intermediates_only else (features[-1], intermediates)

    def _taps(self, indices: Union[int, Sequence[int], None]) -> tuple[list[int], list[int]]:
        """Return the layers of some features in `feature_info`, and the features' numbers."""
        layers = self.arch.last_of_each_stride
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
            del self.stages[last:]
            self.out_indices = (last,)
            self.num_features = self.arch.dims[last]
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
        heads = [name for name in ("cls", "cls1", "cls2") if hasattr(self, name)]
        dropout, like = getattr(self, heads[0])[1].p, next(self.stages.parameters(), None)
        like = next(self.parameters()) if like is None else like
        for name in heads:
            delattr(self, name)
        self.global_pool = self.global_pool if global_pool is None else global_pool
        with torch.device(like.device):
            self._build_head(nn.Identity(), dropout, self.num_features, num_classes)
        for name in ("cls", "cls1", "cls2"):
            if hasattr(self, name):
                getattr(self, name).to(like.dtype).train(self.training)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute features in the backward pass instead of keeping them."""
        self.with_cp = enable

    def group_matcher(self, coarse: bool = False) -> dict:
        """Return patterns of the layers for layer-wise learning rates: stem, stages, and head."""
        return dict(stem=r"^stem", blocks=r"^stages\.(\d+)")

    def no_weight_decay(self) -> set[str]:
        """Return names of parameters without weight decay, besides all of one dimension."""
        return set()

    def named_children(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield the children that there are now; fusing replaces some while timm visits them."""
        yield from list(super().named_children())

    def load_pretrained(self, checkpoint_path: str) -> None:
        """Load a file, such as a published one; timm calls it with `pretrained=True`.

        Args:
            checkpoint_path: The file. Its head is left out if it has other classes, and its first
                convolution is adapted to other channels, as timm does.

        Raises:
            UserError: The file can't be read, or is of another network.
        """
        state = Checkpoint.read(checkpoint_path).state
        first = "stem.0.weight" if self.deploy else "stem1.0.weight"
        if first in state and state[first].shape[1] != self.in_channels:
            state[first] = adapt_input_conv(self.in_channels, state[first])
        self.load_state_dict(filter_checkpoint(state, self))

    @property
    def in_chans(self) -> int:
        """Channels of the image."""
        return self.in_channels


class _Whole(nn.Module):
    """A child that stands for the network: timm's `reparameterize_model` asks children only.

    As a layer, it is the identity.
    """

    def __init__(self, network: VanillaNetTimm) -> None:
        super().__init__()
        self._network = (network,)  # in a tuple, so that it is no child of its child

    def forward(self, x: Tensor) -> Tensor:
        """Return the input."""
        return x

    def switch_to_deploy(self) -> None:
        """Fuse the network."""
        self._network[0].switch_to_deploy()


def _initialize(conv: nn.Conv2d) -> None:
    """Initialise a convolution as published."""
    nn.init.trunc_normal_(conv.weight, std=0.02)
    nn.init.zeros_(conv.bias)
