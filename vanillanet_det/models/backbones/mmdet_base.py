"""What backbones in MMDetection's registry have in common: `init_cfg` and `norm_cfg`."""

from functools import partial
from typing import Any, ClassVar, Optional, Union

from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import nn

from ...checkpoints.loading import load_backbone
from ...errors import UserError
from ..layers.norm import NormFactory


class PretrainedBackbone(BaseModule):
    """A module whose `init_cfg` accepts published checkpoints, with or without a wrapper.

    Subclasses implement the protocol `ChecksWeights`.
    """

    def init_weights(self) -> None:
        """Initialise the module according to `init_cfg`.

        Raises:
            UserError: The checkpoint can't be read or doesn't belong to this network.
        """
        cfg = self.init_cfg
        if isinstance(cfg, dict) and cfg.get("type") == "Pretrained":
            # MMEngine's loader would load nothing from files with an unknown wrapper.
            load_backbone(self, cfg["checkpoint"], cfg.get("prefix") or "backbone.")
            self._is_init = True
        else:
            super().init_weights()


def norm_factory(norm_cfg: dict, owner: str) -> NormFactory:
    """Return the function that builds a network's BatchNorms from a `norm_cfg`.

    Args:
        norm_cfg: A BN or SyncBN config.
        owner: Name of the network in errors.

    Raises:
        UserError: The config is for another normalisation, which can't be fused.
    """
    if "BN" not in str(norm_cfg["type"]):
        raise UserError(
            f"{owner}: norm_cfg {norm_cfg}; expected dict(type='BN') or dict(type='SyncBN'); other "
            "normalisations can't be fused"
        )
    return partial(_build_norm, norm_cfg)


def _build_norm(norm_cfg: dict, channels: int) -> nn.Module:
    return build_norm_layer(norm_cfg, channels)[1]


class FromConfig:
    """Constructor of networks that MMDetection builds.

    Attributes:
        norm_defaults: Settings of the BatchNorms, unless `norm_cfg` has others.
        init_defaults: The `init_cfg`, unless there is another one.
    """

    norm_defaults: ClassVar[dict] = {}
    init_defaults: ClassVar[Optional[dict]] = None

    def __init__(
        self,
        *args: Any,
        norm_cfg: Optional[dict] = None,
        init_cfg: Union[dict, list[dict], None] = None,
        **kwargs: Any,
    ) -> None:
        norm_cfg = {"type": "BN", **self.norm_defaults, **(norm_cfg or {})}
        super().__init__(*args, norm=norm_factory(norm_cfg, type(self).__name__), **kwargs)
        self.init_cfg = init_cfg or self.init_defaults
