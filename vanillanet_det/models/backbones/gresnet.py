"""GResNet, a ResNet with split normalisation. It depends only on PyTorch and torchvision.

What it changes in a ResNet:

- the stem is three 3x3 convolutions, without a pooling behind it; instead, the 3x3 convolution of
  the first block has stride 2
- a shortcut to another size is an average pooling, then a 1x1 convolution
- SiLU in place of ReLU
- split normalisation (`SplitNormConv2d` in `../layers/split_norm.py`) in place of BatchNorm

`mmdet_gresnet.py` registers it in MMDetection as `GResNet`, with `init_cfg` and `norm_cfg`.
"""

import re
from collections.abc import Sequence
from typing import Callable, Optional

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import StochasticDepth

from ...errors import UserError
from ..layers.checkpointing import checkpoint_once
from ..layers.norm import NormFactory
from ..layers.split_norm import SplitNormConv2d, plain_norm
from .archs import whole_number
from .base import Backbone
from .gresnet_state_dict import GResNetWeights

DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
"""Depth -> blocks of each stage."""
_EXPANSION = 4


class Shortcut(nn.Module):
    """The shortcut of a block that halves the size: 2x2 average pooling and 1x1 convolution.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        norm: Function that builds the BatchNorm.
        deploy: Build the deployed form.
    """

    def __init__(
        self, in_channels: int, out_channels: int, norm: NormFactory, deploy: bool
    ) -> None:
        super().__init__()
        # An odd size is rounded up, as by the 3x3 convolution beside it.
        self.pool = nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False)
        self.conv = _conv(in_channels, out_channels, 1, 1, norm, deploy)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, in_channels, H, W)` to `(N, out_channels, ceil(H / 2), ceil(W / 2))`."""
        return self.conv(self.pool(x))


class Bottleneck(nn.Module):
    """A block: 1x1, 3x3 and 1x1 convolutions, and a shortcut.

    Args:
        in_channels: Channels of the input.
        width: Channels of the 3x3 convolution; the output has four times as many.
        stride: Stride of the 3x3 convolution; with stride 2, the shortcut is a `Shortcut`.
        norm: Function that builds the BatchNorms.
        deploy: Build the deployed form.
        drop_path: Probability to skip the convolutions of an image in training.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int,
        norm: NormFactory,
        deploy: bool,
        drop_path: float,
    ) -> None:
        super().__init__()
        out_channels = _EXPANSION * width
        self.conv1 = _conv(in_channels, width, 1, 1, norm, deploy)
        self.conv2 = _conv(width, width, 3, stride, norm, deploy)
        self.conv3 = _conv(width, out_channels, 1, 1, norm, deploy)
        self.shortcut = (
            nn.Identity() if stride == 1 else Shortcut(in_channels, out_channels, norm, deploy)
        )
        self.drop_path = StochasticDepth(drop_path, "row") if drop_path else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, in_channels, H, W)` to `(N, 4 width, H / stride, W / stride)`, rounded up."""
        y = F.silu(self.conv1(x), inplace=True)
        y = F.silu(self.conv2(y), inplace=True)
        return F.silu(self.drop_path(self.conv3(y)) + self.shortcut(x), inplace=True)


def _conv(
    in_channels: int, out_channels: int, kernel: int, stride: int, norm: NormFactory, deploy: bool
) -> SplitNormConv2d:
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)
    # The input is normalised: outputs have a variance of 1.
    nn.init.kaiming_normal_(conv.weight, nonlinearity="linear")
    return SplitNormConv2d(conv, norm, deploy)


class GResNetwork(GResNetWeights, Backbone):
    """GResNet as a feature extractor: feature i is the output of stage i, from 0.

    Args:
        depth: 50 or 101.
        in_channels: Channels of the image.
        out_indices: Features to return. Stages after the last one are not built.
        frozen_stages: Freeze the stem (0) and the stages up to this one, from 1; -1 for none.
        norm: Function that builds a BatchNorm without parameters for a number of channels.
        norm_eval: Keep BatchNorms in evaluation mode while training.
        with_cp: Recompute blocks in the backward pass instead of keeping their features.
        deploy: Build the deployed form: convolutions, and a subtraction before each padded one.
        drop_path: Probability to skip the last block in training; it rises linearly from 0.
        width: Channels of the 3x3 convolutions of stage 1; all others are in proportion.

    Attributes:
        out_channels: Channels of each returned feature.
        out_strides: Stride of each returned feature relative to the image.

    Raises:
        UserError: An argument is invalid; the message states what was expected.
    """

    def __init__(
        self,
        depth: int = 50,
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        norm: NormFactory = plain_norm,
        norm_eval: bool = False,
        with_cp: bool = False,
        deploy: bool = False,
        drop_path: float = 0.0,
        width: int = 64,
    ) -> None:
        super().__init__()
        if not whole_number(depth, 1) or depth not in DEPTHS:
            raise UserError(f"GResNet: depth {depth!r}; expected {' or '.join(map(str, DEPTHS))}")
        if not whole_number(in_channels, 1):
            raise UserError(f"GResNet: in_channels {in_channels!r}; expected a positive integer")
        if not whole_number(width, 2) or width % 2:
            raise UserError(f"GResNet: width {width!r}; expected a positive even integer")
        given = tuple(out_indices) if isinstance(out_indices, Sequence) else ()
        if not given or not all(whole_number(i, 0) and i < 4 for i in given):
            raise UserError(f"GResNet: out_indices {out_indices!r}; expected some of 0 to 3")
        if sorted(set(given)) != list(given):
            raise UserError(f"GResNet: out_indices {out_indices!r}; expected an ascending order")
        count = given[-1] + 1
        if not whole_number(frozen_stages, -1) or frozen_stages > count:
            raise UserError(
                f"GResNet: frozen_stages {frozen_stages!r}; expected -1 (none), 0 (the stem) or a "
                f"stage up to {count}, the last one in out_indices"
            )
        if not isinstance(drop_path, (int, float)) or not 0 <= drop_path < 1:
            raise UserError(
                f"GResNet: drop_path {drop_path!r}; expected a number from 0 to below 1"
            )
        self.depth, self.width, self.in_channels, self.out_indices = (
            depth,
            width,
            in_channels,
            given,
        )
        self.out_channels = tuple(_EXPANSION * width * 2**i for i in given)
        self.out_strides = tuple(4 * 2**i for i in given)
        self.frozen_stages, self.norm_eval, self.with_cp = frozen_stages, norm_eval, with_cp
        channels = (in_channels, width // 2, width, 2 * width)
        self.stem = nn.ModuleList(
            _conv(*pair, 3, 2 if index == 0 else 1, norm, deploy)
            for index, pair in enumerate(zip(channels, channels[1:]))
        )
        blocks = DEPTHS[depth]
        shares = (drop_path * index / (sum(blocks) - 1) for index in range(sum(blocks)))
        self.stages = nn.ModuleList()
        before = channels[-1]
        for stage_index, number in enumerate(blocks[:count]):
            own, stage = width * 2**stage_index, nn.ModuleList()
            for index in range(number):
                stride = 2 if index == 0 else 1
                stage.append(Bottleneck(before, own, stride, norm, deploy, next(shares)))
                before = _EXPANSION * own
            self.stages.append(stage)
        self._freeze()  # before an optimizer collects the parameters

    @property
    def deploy(self) -> bool:
        """Whether this is the deployed form."""
        return self.stem[0].deploy

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the features.

        Args:
            x: Images of shape `(N, in_channels, H, W)`.

        Returns:
            One `(N, out_channels[k], H / out_strides[k], W / out_strides[k])`, rounded up, for
            each entry of `out_indices`.
        """
        return self._features(x)

    def _features(self, x: Tensor, indices: Optional[Sequence[int]] = None) -> tuple[Tensor, ...]:
        indices = self.out_indices if indices is None else indices
        recompute = self.with_cp and self.training and torch.is_grad_enabled()
        for conv in self.stem:
            x = F.silu(conv(x), inplace=True)
        features = {}
        for index, stage in enumerate(self.stages[: max(indices) + 1]):
            for block in stage:
                x = checkpoint_once(block, x, norms=block) if recompute else block(x)
            features[index] = x
        return tuple(features[index] for index in indices)

    def named_layers(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """Return the layers of the stem, and the blocks, by name (protocol `HasLayers`)."""
        stem = {f"stem.{i}": lambda x, f=f: F.silu(f(x)) for i, f in enumerate(self.stem)}
        stages = enumerate(self.stages)
        return stem | {f"stages.{i}.{j}": f for i, stage in stages for j, f in enumerate(stage)}

    def frozen_modules(self) -> list[nn.Module]:
        """Return the modules of the stem and the stages up to `frozen_stages`."""
        return [] if self.frozen_stages < 0 else [self.stem, *self.stages[: self.frozen_stages]]

    def switch_to_deploy(self) -> None:
        """Fold every split normalisation into its convolution, in place; again, it does nothing.

        Raises:
            UserError: A BatchNorm has no running statistics, or fused values exceed the network's
                precision. The network is then unchanged.
        """
        named = [(n, m) for n, m in self.named_modules() if isinstance(m, SplitNormConv2d)]
        for name, conv in () if self.deploy else named:
            conv.fused(name)  # any error is raised before anything is changed
        for _, conv in named:
            conv.switch_to_deploy()
        self._freeze()

    def fold_normalization(self, mean: Tensor, std: Tensor, flip: bool) -> bool:
        """Fold the normalisation of images into the stem; see protocol `FoldsNormalization`.

        The stem subtracts a mean already, which then is one of pixels: borders stay exact. It
        can't be folded in the training form, twice, in 16 bits, or with another number of channels.

        Raises:
            UserError: The folded kernel doesn't fit the network's precision.
        """
        if not self.deploy or hasattr(self, "raw_pixels"):
            return False
        if not self.stem[0].fold_normalization(mean, std, flip):
            return False
        # A buffer, so that saved weights aren't mistaken for weights for normalised images.
        self.register_buffer("raw_pixels", torch.tensor(True))
        return True

    def layer_ids(self, num_layers: int) -> dict[str, int]:
        """Return the layer id of each parameter, for layer-wise learning rate decay.

        The stem has id 0, the blocks are spread evenly over 1 to `num_layers`, and a head has
        `num_layers + 1`.
        """
        names = [name for name, _ in self.named_parameters()]
        blocks = {name: m[0] for name in names if (m := re.match(r"stages\.\d+\.\d+\.", name))}
        order = list(dict.fromkeys(blocks.values()))
        places = {block: 1 + order.index(block) * num_layers // len(order) for block in order}
        return {
            name: places[blocks[name]]
            if name in blocks
            else (num_layers + 1) * name.startswith("cls")
            for name in names
        }
