"""VanillaNet with the arguments and methods of timm's networks; `vanillanet.py` registers it."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Optional, Union

import torch
from timm.models._manipulate import adapt_input_conv
from torch import Tensor, nn

from ..checkpoints.checkpoint import Checkpoint
from ..models.backbones.classifier import ClassifierNetwork
from .methods import TimmMethods, initialize
from .weights import HEADS, filter_checkpoint


class VanillaNetTimm(TimmMethods, ClassifierNetwork):
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
        act_base: As for `VanillaNetwork`.
        act_neighbours: As for `VanillaNetwork`.
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
        act_base: str = "relu",
        act_neighbours: bool = True,
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
                act_base=act_base,
                act_neighbours=act_neighbours,
                deploy=deploy,
                ada_pool=ada_pool,
                stem_stride=stem_stride,
                stem_padding=stem_padding,
            )
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d) and not name.startswith(HEADS):
                initialize(module)
        children = dict(self._modules)
        self._modules.clear()
        self.whole = _Whole(self)  # before the others, of which it changes some
        self._modules.update(children)
        self.to(dtype=dtype)

    def timm_features(self) -> list[tuple[int, int, str, int]]:
        """Return channels, stride, module and index in `_features` of each feature of timm's."""
        stem = "stem" if hasattr(self, "stem") else "stem2"
        return [
            (
                self.arch.dims[index],
                self.arch.feature_strides[index],
                f"stages.{index - 1}" if index else stem,
                index,
            )
            for index in self.arch.last_of_each_stride
        ]

    def group_matcher(self, coarse: bool = False) -> dict:
        """Return patterns of the layers for layer-wise learning rates: stem, stages, and head."""
        return dict(stem=r"^stem", blocks=r"^stages\.(\d+)")

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
