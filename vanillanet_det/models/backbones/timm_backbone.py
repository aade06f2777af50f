"""timm networks as backbones, such as the peers in VanillaNet's benchmarks."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Union

from mmdet.registry import MODELS
from torch import Tensor, nn

from ...checkpoints.match import LEAST_MATCH, Match
from ...errors import UserError
from .base import Backbone
from .mmdet_base import PretrainedBackbone


@MODELS.register_module()
class TIMMBackbone(Backbone, PretrainedBackbone):
    """A convolutional timm network as a feature extractor (`features_only`).

    Nothing is downloaded. To load a file that timm publishes (`pytorch_model.bin` on Hugging Face),
    set `init_cfg=dict(type='Pretrained', checkpoint=FILE)`.

    Args:
        model_name: Name of the network in timm, such as 'convnextv2_nano'.
        out_indices: Features to return, numbered as in timm.
        in_channels: Channels of the image.
        drop_path_rate: Stochastic depth rate of the last block; the rate rises linearly from 0.
        frozen_stages: Freeze everything up to this feature, numbered as in `out_indices`; -1 for
            none.
        norm_eval: Keep BatchNorms in evaluation mode while training.
        with_cp: Recompute features in the backward pass instead of keeping them.
        init_cfg: Config of the initialisation; the default is timm's initialisation.

    Attributes:
        out_channels: Channels of each returned feature.
        out_strides: Stride of each returned feature relative to the image.

    Raises:
        UserError: timm is missing, has no such model, or can't return these features.

    Example:
        >>> backbone = TIMMBackbone('convnextv2_nano').eval()
        >>> for feature in backbone(torch.rand(1, 3, 64, 96)):
        ...     print(tuple(feature.shape))
        (1, 80, 16, 24)
        (1, 160, 8, 12)
        (1, 320, 4, 6)
        (1, 640, 2, 3)
    """

    def __init__(
        self,
        model_name: str,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        in_channels: int = 3,
        drop_path_rate: float = 0.0,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: Union[dict, list[dict], None] = None,
    ) -> None:
        super().__init__()
        self.init_cfg = init_cfg
        self.in_channels = in_channels
        self.model_name = model_name
        self.norm_eval = norm_eval
        arguments = {"out_indices": tuple(out_indices), "in_chans": in_channels}
        if drop_path_rate:  # not every network has this argument
            arguments["drop_path_rate"] = drop_path_rate
        self.model = _create(model_name, arguments)
        info = self.model.feature_info
        self.out_channels = tuple(info.channels())
        self.out_strides = tuple(info.reduction())
        if frozen_stages not in range(-1, len(info.info)):
            raise UserError(
                f"TIMMBackbone: frozen_stages {frozen_stages!r}; expected -1 (none) or one of "
                f"the features 0..{len(info.info) - 1} of {model_name!r}"
            )
        self.frozen_stages = frozen_stages
        self.model.set_grad_checkpointing(with_cp)
        self._freeze()  # before an optimizer collects the parameters

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the features.

        Args:
            x: Images of shape `(N, in_channels, H, W)`.

        Returns:
            One `(N, out_channels[k], H / out_strides[k], W / out_strides[k])` for each entry
            of `out_indices`.
        """
        return tuple(self.model(x))

    def adapt_state_dict(self, state: Mapping[str, Tensor], arch_name: str = "") -> dict:
        """Rename the weights of a file to match this network, and check them.

        Args:
            state: Tensors by their names in timm, or in this network, where `stages.0` is
                `model.stages_0`.
            arch_name: Ignored; the tensors are sufficient.

        Returns:
            The checked tensors by their names in this network.

        Raises:
            UserError: As for `check_state_dict`.
        """
        parts = {re.sub(r"_(\d+)$", r".\1", name): name for name, _ in self.model.named_children()}
        own = {}
        for key, tensor in state.items():
            name = key.removeprefix("model.")
            part = next((part for part in parts if name.startswith(f"{part}.")), "")
            own[f"model.{parts.get(part, '')}{name[len(part) :]}"] = tensor
        self.check_state_dict(own, arch_name)
        return own

    def check_state_dict(self, state: Mapping[str, Tensor], arch_name: str = "") -> None:
        """Raise an error if weights don't belong to this network.

        Args:
            state: Tensors by their names in this network.
            arch_name: Ignored; the tensors are sufficient.

        Raises:
            UserError: A tensor has a different shape, or less than 90 % of the network's tensors
                are present.
        """
        match = Match.of(state, self.state_dict())
        if match.misshapen or not match.is_enough:
            raise UserError(
                f"{match}, of timm's {self.model_name}; expected at least {LEAST_MATCH:.0%}, and "
                "no different shapes. Is this timm's file for this model?"
            )

    def frozen_modules(self) -> Iterator[nn.Module]:
        """Yield the modules up to the last frozen feature."""
        if self.frozen_stages < 0:
            return
        last = self.model.feature_info.info[self.frozen_stages]["module"].replace(".", "_")
        for name, module in self.model.named_children():
            yield module
            if name == last:
                break


def _create(model_name: str, arguments: dict) -> nn.Module:
    """Build a feature extractor with timm."""
    try:
        import timm  # imported here because it takes seconds and few configs need it
        from timm.models import FeatureListNet
    except ImportError as error:
        raise UserError("TIMMBackbone: timm is missing; run pip install 'timm>=1.0'") from error
    if not timm.is_model(model_name):
        close = difflib.get_close_matches(model_name, timm.list_models(), n=3)
        raise UserError(
            f"TIMMBackbone: model_name {model_name!r}: timm {timm.__version__} has no such "
            f"model; {f'did you mean {close[0]!r}? ' if close else ''}see timm.list_models()"
        )
    try:
        model = timm.create_model(model_name, pretrained=False, features_only=True, **arguments)
    except (AssertionError, IndexError, RuntimeError, TypeError, ValueError) as error:
        shown = ", ".join(f"{key} {value}" for key, value in arguments.items())
        raise UserError(
            f"TIMMBackbone: timm can't extract features of {model_name!r} with {shown}: {error}"
        ) from error
    if not isinstance(model, FeatureListNet) or str(model.output_fmt).rpartition(".")[2] != "NCHW":
        raise UserError(
            f"TIMMBackbone: model_name {model_name!r}; expected a convolutional network, whose "
            "features have the shape (N, C, H, W)"
        )
    return model
