"""VanillaNet, a network with no shortcut and no attention, with multi-scale features."""

from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional, Union

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn

from ...errors import UserError
from ..layers.act_lambda import HasLambda, deep_activation
from ..layers.checkpointing import checkpoint_once
from ..layers.fusion import fused_conv
from ..layers.series_activation import SeriesActivation
from ..layers.stage import Stage, conv_bn, fuse_layer, merge_convs
from .archs import resolve_arch, whole_number
from .base import Backbone
from .state_dict import check_fit, describe, merged_state_dict


@MODELS.register_module()
class VanillaNet(HasLambda, Backbone):
    """VanillaNet (https://arxiv.org/abs/2305.12972) as a detection backbone.

    Feature 0 is the stem's, feature i that of stage i. Parameter names are those of the
    published checkpoints, which load through `init_cfg=dict(type='Pretrained', ...)`.

    Args:
        arch: A published arch: '5' to '13', '13_x1_5' or '13_x1_5_ada_pool'; or a dict with
            `dims` (stem and stages) and `strides` (stages).
        in_channels: Channels of the image.
        act_num: `n` of the series activation, whose kernel has the side `2 n + 1`.
        out_indices: Features to return; the default is the last of each stride. Stages
            behind the last one asked for are not built.
        frozen_stages: Freeze the stem (0) and the stages up to this one; -1 for none.
        norm_cfg: Config of the BatchNorms, BN or SyncBN; eps is 1e-6 unless given.
        norm_eval: Keep BatchNorms in evaluation mode while training.
        with_cp: Compute features again in the backward pass instead of keeping them.
        deploy: Build the deployed form: one convolution per layer, no BatchNorm.
        merged: Build the merged form, unless `deploy` is set: one convolution per layer and
            its last BN, to fine-tune weights whose lambda is 1. `init_cfg` takes weights of
            the training form, too, and merges them.
        ada_pool: Pool adaptively: True for `ceil(input / stride)` at any image size, or fixed
            output sizes, one per stage (0 for max pooling). The default is the arch's own.
        stem_stride: Stride of the stem; the default is the arch's own.
        stem_padding: Zero padding of the stem; the default is the arch's own.
        init_cfg: How to initialise; the default is a truncated normal of std 0.02.

    Attributes:
        out_channels: Channels of each returned feature.
        out_strides: Stride of each returned feature against the image.

    Raises:
        UserError: An argument that makes no network; the message says what was expected.

    Example:
        >>> backbone = VanillaNet('5').eval()
        >>> for feature in backbone(torch.rand(1, 3, 64, 96)):
        ...     print(tuple(feature.shape))
        (1, 512, 16, 24)
        (1, 1024, 8, 12)
        (1, 2048, 4, 6)
        (1, 4096, 2, 3)
    """

    def __init__(
        self,
        arch: Union[str, dict] = "11",
        in_channels: int = 3,
        act_num: int = 3,
        out_indices: Optional[Sequence[int]] = None,
        frozen_stages: int = -1,
        norm_cfg: Optional[dict] = None,
        norm_eval: bool = False,
        with_cp: bool = False,
        deploy: bool = False,
        merged: bool = False,
        ada_pool: Union[bool, Sequence[int], None] = None,
        stem_stride: Optional[int] = None,
        stem_padding: Optional[int] = None,
        init_cfg: Union[dict, list[dict], None] = None,
    ) -> None:
        super().__init__(init_cfg or dict(type="TruncNormal", layer="Conv2d", std=0.02))
        self.in_channels = in_channels
        self.arch = arch = resolve_arch(arch, ada_pool, stem_stride, stem_padding)
        self.act_num = act_num
        self.out_indices = arch.check_out_indices(out_indices)
        self.out_channels = tuple(arch.dims[i] for i in self.out_indices)
        self.out_strides = tuple(arch.feature_strides[i] for i in self.out_indices)
        num_stages = max(self.out_indices)
        if frozen_stages not in range(-1, num_stages + 1):
            raise UserError(
                f"VanillaNet: frozen_stages {frozen_stages!r} but expected -1 (none), 0 (the "
                f"stem) or a stage up to {num_stages}, the last that out_indices asks for"
            )
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.with_cp = with_cp
        self.norm_cfg = norm_cfg = {"type": "BN", "eps": 1e-6, **(norm_cfg or {})}
        if "BN" not in str(norm_cfg["type"]):
            raise UserError(
                f"VanillaNet: norm_cfg {norm_cfg} but expected a BatchNorm, dict(type='BN') or "
                "dict(type='SyncBN'): no other normalisation can be fused"
            )
        if not whole_number(in_channels, 1):
            raise UserError(
                f"VanillaNet: in_channels {in_channels!r} but expected a whole number from 1"
            )

        form = "deployed" if deploy else "merged" if merged else "training"
        stem_conv = nn.Conv2d(
            in_channels, arch.dims[0], 4, stride=arch.stem_stride, padding=arch.stem_padding
        )
        stem_act = SeriesActivation(arch.dims[0], act_num, norm_cfg, deploy)
        if form == "deployed":
            self.stem = nn.Sequential(stem_conv, stem_act)
        elif form == "merged":
            self.stem = nn.Sequential(conv_bn(stem_conv, norm_cfg), stem_act)
        else:
            self.stem1 = conv_bn(stem_conv, norm_cfg)
            self.stem2 = conv_bn(nn.Conv2d(arch.dims[0], arch.dims[0], 1), norm_cfg)
            self.stem2.append(stem_act)
            self._add_lambda()
        self.stages = nn.ModuleList(
            Stage(
                arch.dims[i],
                arch.dims[i + 1],
                arch.strides[i],
                act_num,
                arch.ada_pool if isinstance(arch.ada_pool, bool) else arch.ada_pool[i],
                norm_cfg,
                form,
            )
            for i in range(num_stages)
        )
        self._freeze()  # before an optimizer collects the parameters

    @property
    def form(self) -> str:
        """`training`, `merged` or `deployed`."""
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
        return self._features(x, self.read_lambda())

    def _features(self, x: Tensor, act_lambda: float) -> tuple[Tensor, ...]:
        recompute = self.with_cp and self.training and torch.is_grad_enabled()
        features = []
        for index, layer in enumerate(self.layers):
            if recompute:
                norms = self if index == 0 else layer
                x = checkpoint_once(layer, x, act_lambda, norms=norms)
            else:
                x = layer(x, act_lambda)
            if index in self.out_indices:
                features.append(x)
        return tuple(features)

    @property
    def layers(self) -> list[Callable[[Tensor, float], Tensor]]:
        """The stem and the stages: functions of a feature and lambda."""
        return [self._forward_stem, *self.stages]

    def _forward_stem(self, x: Tensor, act_lambda: float) -> Tensor:
        if hasattr(self, "stem"):
            return self.stem(x)
        return self.stem2(deep_activation(self.stem1(x), act_lambda))

    def frozen_modules(self) -> list[nn.Module]:
        """List the stem and the stages up to `frozen_stages`."""
        if self.frozen_stages < 0:
            return []
        stem = [self.stem] if hasattr(self, "stem") else [self.stem1, self.stem2]
        return [*stem, *self.stages[: self.frozen_stages]]

    def switch_to_deploy(self) -> None:
        """Fuse every layer into one convolution, in place; a second call does nothing.

        Raises:
            UserError: lambda is below 1, so that the two convolutions of a layer are no
                linear map, a BatchNorm keeps no running statistics, or fused values don't fit
                the network's precision. The network is then unchanged.
        """
        if self.deploy:
            return
        self.check_lambda()
        convs = [fuse_layer(pairs, name) for name, pairs in self._convs()]
        acts = [self._stem_act, *(stage.act for stage in self.stages)]
        for (name, _), act in zip(self._convs(), acts):
            act.fused(name)  # raises before anything has changed
        for act in acts:
            act.switch_to_deploy()
        self._put_convs(convs)

    def switch_to_merged(self) -> None:
        """Make each layer's two convolutions one, with the last BN, in place.

        A second call does nothing.

        Raises:
            UserError: lambda is below 1, or the network is deployed. It is then unchanged.
        """
        if self.form == "merged":
            return
        if self.deploy:
            raise UserError(
                "VanillaNet: the deployed form has no BatchNorm left and can't be merged; merge "
                "the training form"
            )
        self.check_lambda()
        self._put_convs(
            [
                nn.Sequential(merge_convs(*first, second[0], name), second[1])
                for name, (first, second) in self._convs()
            ]
        )

    def _convs(self) -> list[tuple[str, Sequence[nn.Module]]]:
        """List what is in front of the pooling of stem and stages: convolutions with their BN."""
        stem = [self.stem[0]] if hasattr(self, "stem") else [self.stem1, self.stem2[:2]]
        return [("stem", stem), *((f"stages.{i}", s.convs) for i, s in enumerate(self.stages))]

    @property
    def _stem_act(self) -> SeriesActivation:
        return self.stem[1] if hasattr(self, "stem") else self.stem2[2]

    def _put_convs(self, convs: Sequence[nn.Module]) -> None:
        """Put one layer in place of those of `_convs`, and what only the training form has away."""
        stem = nn.Sequential(convs[0], self._stem_act)
        if self.form == "training":
            del self.stem1, self.stem2, self.act_lambda
        self.stem = stem
        for stage, conv in zip(self.stages, convs[1:]):
            stage.put_conv(conv)
        self.train(self.training)
        self._freeze()

    def fold_normalization(self, mean: Tensor, std: Tensor, flip: bool) -> bool:
        """Let the deployed form take pixels instead of normalised images, in place.

        Args:
            mean: Of each channel, in the order of the normalised image, float64.
            std: Deviation of each channel, likewise.
            flip: Whether pixels come with their channels in the opposite order.

        Returns:
            Whether it was done. It can't where zeros stand around the normalised image, in
            another form, twice, in 16 bits, or with other channels.

        Raises:
            UserError: The folded kernel doesn't fit the network's precision.
        """
        conv = self.stem[0] if self.deploy else None
        if conv is None or conv.padding != (0, 0) or hasattr(self, "raw_pixels"):
            return False
        # In 16 bits a kernel for pixels is less exact than one for normalised images.
        if len(mean) != self.in_channels or conv.weight.dtype not in (torch.float32, torch.float64):
            return False
        weight = conv.weight.detach().double() / std.to(conv.weight.device)[:, None, None]
        shift = (weight * mean.to(weight)[:, None, None]).sum((1, 2, 3))
        weight = weight.flip(1) if flip else weight
        self.stem[0] = fused_conv(conv, weight, conv.bias.detach().double() - shift, "stem")
        # Saved, so that such weights aren't taken for those of normalised images.
        self.register_buffer("raw_pixels", torch.tensor(True))
        return True

    def adapt_state_dict(self, state: Mapping[str, Tensor], said_arch: str = "") -> dict:
        """Make of a backbone's weights those of this network.

        Args:
            state: Tensors by their names. The merged form takes those of the training form, too.
            said_arch: What their file says it is of.

        Returns:
            The tensors, checked and, if they had to be, merged.

        Raises:
            UserError: As `check_state_dict`, or their lambda is below 1.
        """
        found = describe(state)
        if self.form == "merged" and found is not None and found.form == "training":
            return merged_state_dict(self._training_form(), state, said_arch)
        self.check_state_dict(state, said_arch)
        return dict(state)

    def _training_form(self) -> "VanillaNet":
        numbers = dict(in_channels=self.in_channels, act_num=self.act_num, norm_cfg=self.norm_cfg)
        return VanillaNet(vars(self.arch), out_indices=self.out_indices, **numbers)

    def check_state_dict(self, state: Mapping[str, Tensor], said_arch: str = "") -> None:
        """Refuse weights that are not of this network; `check_fit` says which."""
        check_fit(self, state, said_arch)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        # Here every way of loading comes by, MMEngine's lenient one too, which would leave
        # random what doesn't fit.
        own = {k[len(prefix) :]: v for k, v in state_dict.items() if k.startswith(prefix)}
        self.check_state_dict({k: v for k, v in own.items() if isinstance(v, Tensor)})
        # Published checkpoints know no lambda: theirs ended at 1.
        if self.has_lambda:
            state_dict.setdefault(f"{prefix}act_lambda", torch.ones_like(self.act_lambda))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
