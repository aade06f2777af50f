"""VanillaNet, a network without shortcuts or attention. It depends only on PyTorch.

Where to find the parts of the paper (https://arxiv.org/abs/2305.12972):

- dims, strides and pooling of VanillaNet-5 to -13: `archs.py`
- stem and stages (figure 2): this file, and `Stage` in `../layers/stage.py`
- series-informed activation (section 3.2): `../layers/series_activation.py`
- deep training, A' and lambda (section 3.1): `../layers/act_lambda.py`; for the schedule, see
  `DeepTrainingHook`; for other networks, see `../conversion/`
- merging of convolutions and BatchNorms (section 3.1): `../layers/fusion.py`; for a whole
  model, see `switch_to_deploy` in `../deploy.py`
- classification head: `classifier.py`
- names and forms of the published checkpoints: `state_dict.py`

`mmdet_vanillanet.py` registers it in MMDetection as `VanillaNet`, with `init_cfg` and `norm_cfg`.
"""

import re
from collections.abc import Sequence
from typing import Callable, Optional, Union

import torch
from torch import Tensor, nn

from ...errors import UserError
from ..layers.act_lambda import LambdaMixin
from ..layers.activation import deep_activation
from ..layers.checkpointing import checkpoint_once
from ..layers.fusion import fold_pixels
from ..layers.norm import NormFactory, batch_norm
from ..layers.series_activation import Series, SeriesActivation
from ..layers.stage import Stage, conv_bn, fuse_layer, merge_convs
from .archs import resolve_arch, whole_number
from .base import Backbone
from .state_dict import PublishedWeights


class VanillaNetwork(PublishedWeights, LambdaMixin, Backbone):
    """VanillaNet as a feature extractor: feature 0 is the stem's output, feature i that of stage i.

    Parameter names are those of the published checkpoints.

    Args:
        arch: A published arch: '5' to '13', '13_x1_5' or '13_x1_5_ada_pool'; or a dict with
            `dims` (stem and stages) and `strides` (stages).
        in_channels: Channels of the image.
        act_num: `n` of the series activation, whose kernel size is `2 n + 1`.
        act_base: Activation in it and in A': 'relu', 'tanh', 'silu' or 'gelu'.
        act_neighbours: Sum over neighbours; or over `act_num` shifts of each pixel alone.
        out_indices: Features to return; the default is the last feature of each stride. Stages
            after the last returned feature are not built.
        frozen_stages: Freeze the stem (0) and the stages up to this one; -1 for none.
        norm: Function that builds a BatchNorm for a number of channels.
        norm_eval: Keep BatchNorms in evaluation mode while training.
        with_cp: Recompute features in the backward pass instead of keeping them.
        deploy: Build the deployed form: one convolution per layer, no BatchNorm.
        merged: Build the merged form, unless `deploy` is set: one convolution per layer and
            its last BN. It is for fine-tuning weights with lambda 1.
        ada_pool: Pool adaptively: True for `ceil(input / stride)` at any image size, or fixed
            output sizes, one per stage (0 for max pooling). The default is the arch's own.
        stem_stride: Stride of the stem; the default is the arch's own.
        stem_padding: Zero padding of the stem; the default is the arch's own.

    Attributes:
        out_channels: Channels of each returned feature.
        out_strides: Stride of each returned feature relative to the image.

    Raises:
        UserError: An argument is invalid; the message states what was expected.
    """

    def __init__(
        self,
        arch: Union[str, dict] = "11",
        in_channels: int = 3,
        act_num: int = 3,
        act_base: str = "relu",
        act_neighbours: bool = True,
        out_indices: Optional[Sequence[int]] = None,
        frozen_stages: int = -1,
        norm: NormFactory = batch_norm,
        norm_eval: bool = False,
        with_cp: bool = False,
        deploy: bool = False,
        merged: bool = False,
        ada_pool: Union[bool, Sequence[int], None] = None,
        stem_stride: Optional[int] = None,
        stem_padding: Optional[int] = None,
    ) -> None:
        super().__init__()
        if not whole_number(in_channels, 1):
            raise UserError(f"VanillaNet: in_channels {in_channels!r}; expected a positive integer")
        self.in_channels = in_channels
        self.arch = arch = resolve_arch(arch, ada_pool, stem_stride, stem_padding)
        self.series = Series(act_num, act_base, act_neighbours)
        self.out_indices = arch.check_out_indices(out_indices)
        self.out_channels = tuple(arch.dims[i] for i in self.out_indices)
        self.out_strides = tuple(arch.feature_strides[i] for i in self.out_indices)
        num_stages = max(self.out_indices)
        if frozen_stages not in range(-1, num_stages + 1):
            raise UserError(
                f"VanillaNet: frozen_stages {frozen_stages!r}; expected -1 (none), 0 (the "
                f"stem) or a stage up to {num_stages}, the last one in out_indices"
            )
        self.frozen_stages = frozen_stages
        self.norm = norm
        self.norm_eval = norm_eval
        self.with_cp = with_cp

        form = "deployed" if deploy else "merged" if merged else "training"
        self._build_stem(form)
        self.stages = nn.ModuleList(
            Stage(
                arch.dims[i],
                arch.dims[i + 1],
                arch.strides[i],
                self.series,
                arch.ada_pool if isinstance(arch.ada_pool, bool) else arch.ada_pool[i],
                norm,
                form,
            )
            for i in range(num_stages)
        )
        self._freeze()  # before an optimizer collects the parameters

    def _build_stem(self, form: str) -> None:
        arch, width = self.arch, self.arch.dims[0]
        conv = nn.Conv2d(
            self.in_channels, width, 4, stride=arch.stem_stride, padding=arch.stem_padding
        )
        act = self.series.build(width, self.norm, form == "deployed")
        if form == "deployed":
            self.stem = nn.Sequential(conv, act)
        elif form == "merged":
            self.stem = nn.Sequential(conv_bn(conv, self.norm), act)
        else:
            self.stem1 = conv_bn(conv, self.norm)
            self.stem2 = conv_bn(nn.Conv2d(width, width, 1), self.norm)
            self.stem2.append(act)
            self._add_lambda()

    @property
    def form(self) -> str:
        """Form of the network: `training`, `merged` or `deployed`."""
        if hasattr(self, "stem1"):
            return "training"
        return "deployed" if self.stem[1].deploy else "merged"

    @property
    def deploy(self) -> bool:
        """Whether this is the deployed form."""
        return self.form == "deployed"

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the features.

        Args:
            x: Images of shape `(N, in_channels, H, W)`.

        Returns:
            One `(N, out_channels[k], H / out_strides[k], W / out_strides[k])` for each entry
            of `out_indices`.
        """
        return self._features(x)

    def _features(
        self, x: Tensor, indices: Optional[Sequence[int]] = None, act_lambda: Optional[float] = None
    ) -> tuple[Tensor, ...]:
        act_lambda = self.read_lambda() if act_lambda is None else act_lambda
        recompute = self.with_cp and self.training and torch.is_grad_enabled()
        indices = self.out_indices if indices is None else indices
        features = []
        for index, layer in enumerate(self.layers[: max(indices) + 1]):
            if recompute:
                norms = self if index == 0 else layer
                x = checkpoint_once(layer, x, act_lambda, norms=norms)
            else:
                x = layer(x, act_lambda)
            if index in indices:
                features.append(x)
        return tuple(features)

    @property
    def layers(self) -> list[Callable[[Tensor, float], Tensor]]:
        """The stem and the stages, as functions of a feature and lambda."""
        return [self._forward_stem, *self.stages]

    def named_layers(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """Return the stem and the stages by name (protocol `HasLayers`)."""
        names = ["stem", *(f"stages.{index}" for index in range(len(self.stages)))]
        act_lambda = self.read_lambda()
        return {n: lambda x, f=f: f(x, act_lambda) for n, f in zip(names, self.layers)}

    def _forward_stem(self, x: Tensor, act_lambda: float) -> Tensor:
        if hasattr(self, "stem"):
            return self.stem(x)
        return self.stem2(deep_activation(self.stem1(x), act_lambda, self.series.act_base))

    def frozen_modules(self) -> list[nn.Module]:
        """Return the modules of the stem and the stages up to `frozen_stages`."""
        if self.frozen_stages < 0:
            return []
        stem = [self.stem] if hasattr(self, "stem") else [self.stem1, self.stem2]
        return [*stem, *self.stages[: self.frozen_stages]]

    def switch_to_deploy(self) -> None:
        """Fuse every layer into one convolution, in place; a second call does nothing.

        Raises:
            UserError: Lambda is below 1, so a layer's two convolutions aren't one linear map; a
                BatchNorm has no running statistics; or fused values exceed the network's
                precision. The network is then unchanged.
        """
        if self.deploy:
            return
        self.check_lambda()
        convs = [fuse_layer(pairs, name) for name, pairs in self._convs()]
        acts = [self._stem_act, *(stage.act for stage in self.stages)]
        for (name, _), act in zip(self._convs(), acts):
            act.fused(name)  # any error is raised before anything is changed
        for act in acts:
            act.switch_to_deploy()
        self._put_convs(convs)

    def switch_to_merged(self) -> None:
        """Merge each layer's two convolutions into one, with the last BN, in place.

        A second call does nothing.

        Raises:
            UserError: Lambda is below 1, or the network is deployed. It is then unchanged.
        """
        if self.form == "merged":
            return
        if self.deploy:
            raise UserError(
                "VanillaNet: the deployed form has no BatchNorm and can't be merged; merge "
                "the training form instead"
            )
        self.check_lambda()
        self._put_convs(
            [
                nn.Sequential(merge_convs(*first, second[0], name), second[1])
                for name, (first, second) in self._convs()
            ]
        )

    def _convs(self) -> list[tuple[str, Sequence[nn.Module]]]:
        """Return the convolutions and BNs before the pooling, for the stem and each stage."""
        stem = [self.stem[0]] if hasattr(self, "stem") else [self.stem1, self.stem2[:2]]
        return [("stem", stem), *((f"stages.{i}", s.convs) for i, s in enumerate(self.stages))]

    @property
    def _stem_act(self) -> SeriesActivation:
        return self.stem[1] if hasattr(self, "stem") else self.stem2[2]

    def _put_convs(self, convs: Sequence[nn.Module]) -> None:
        """Replace the layers of `_convs`, and remove the parts that only the training form has."""
        stem = nn.Sequential(convs[0], self._stem_act)
        if self.form == "training":
            del self.stem1, self.stem2, self.act_lambda
        self.stem = stem
        for stage, conv in zip(self.stages, convs[1:]):
            stage.put_conv(conv)
        self.train(self.training)
        self._freeze()

    def fold_normalization(self, mean: Tensor, std: Tensor, flip: bool) -> bool:
        """Fold the normalisation of images into the stem; see protocol `FoldsNormalization`.

        It can't be folded if the stem pads the image with zeros, in other forms, twice, in 16
        bits, or with another number of channels.

        Raises:
            UserError: The folded kernel doesn't fit the network's precision.
        """
        if not self.deploy or hasattr(self, "raw_pixels"):
            return False
        if (conv := fold_pixels(self.stem[0], mean, std, flip, "stem")) is None:
            return False
        self.stem[0] = conv
        # A buffer, so that saved weights aren't mistaken for weights for normalised images.
        self.register_buffer("raw_pixels", torch.tensor(True))
        return True

    def layer_ids(self, num_layers: int) -> dict[str, int]:
        """Return the published layer id of each parameter, for layer-wise learning rate decay.

        The stem has id 0; stage `s`, counted from 0, has id `s // 2 + 1`, at most `num_layers`.
        """
        stages = {name: re.match(r"stages\.(\d+)\.", name) for name, _ in self.named_parameters()}
        return {
            name: min(int(stage[1]) // 2 + 1, num_layers) if stage else 0
            for name, stage in stages.items()
        }

    def _training_form(self) -> "VanillaNetwork":
        numbers = dict(in_channels=self.in_channels, norm=self.norm, **self.series.arguments)
        return VanillaNetwork(vars(self.arch), out_indices=self.out_indices, **numbers)
