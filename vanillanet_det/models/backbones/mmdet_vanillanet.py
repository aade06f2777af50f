"""VanillaNet in MMDetection's registry, with `init_cfg` and `norm_cfg`."""

from functools import partial
from typing import Any, Optional, Union

from mmcv.cnn import build_norm_layer
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import nn

from ...checkpoints.loading import load_backbone
from ...errors import UserError
from .classifier import ClassifierNetwork
from .vanillanet import VanillaNetwork


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


def norm_factory(norm_cfg: Optional[dict]) -> Any:
    """Return the function that builds VanillaNet's BatchNorms from a `norm_cfg`.

    Args:
        norm_cfg: A BN or SyncBN config, whose eps defaults to 1e-6; None for BN.

    Raises:
        UserError: The config is for another normalisation, which can't be fused.
    """
    norm_cfg = {"type": "BN", "eps": 1e-6, **(norm_cfg or {})}
    if "BN" not in str(norm_cfg["type"]):
        raise UserError(
            f"VanillaNet: norm_cfg {norm_cfg}; expected dict(type='BN') or "
            "dict(type='SyncBN'); other normalisations can't be fused"
        )
    return partial(_build_norm, norm_cfg)


def _build_norm(norm_cfg: dict, channels: int) -> nn.Module:
    return build_norm_layer(norm_cfg, channels)[1]


class _FromConfig:
    """Constructor of the networks that MMDetection builds."""

    def __init__(
        self,
        *args: Any,
        norm_cfg: Optional[dict] = None,
        init_cfg: Union[dict, list[dict], None] = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, norm=norm_factory(norm_cfg), **kwargs)
        self.init_cfg = init_cfg or dict(type="TruncNormal", layer="Conv2d", std=0.02)


@MODELS.register_module()
class VanillaNet(_FromConfig, VanillaNetwork, PretrainedBackbone):
    """VanillaNet (https://arxiv.org/abs/2305.12972) as a detection backbone.

    Args:
        *args: As for `VanillaNetwork`, `arch` first.
        norm_cfg: Config of the BatchNorms, BN or SyncBN; eps defaults to 1e-6.
        init_cfg: How to initialise; the default is a truncated normal of std 0.02. A
            `Pretrained` checkpoint of the training form is merged where `merged` is set.
        **kwargs: `arch`, `in_channels`, `act_num`, `out_indices`, `frozen_stages`, `norm_eval`,
            `with_cp`, `deploy`, `merged`, `ada_pool`, `stem_stride`, `stem_padding`.

    Raises:
        UserError: An argument is invalid; the message states what was expected.

    Example:
        >>> backbone = VanillaNet('5').eval()
        >>> for feature in backbone(torch.rand(1, 3, 64, 96)):
        ...     print(tuple(feature.shape))
        (1, 512, 16, 24)
        (1, 1024, 8, 12)
        (1, 2048, 4, 6)
        (1, 4096, 2, 3)
    """


@MODELS.register_module()
class VanillaNetClassifier(_FromConfig, ClassifierNetwork, PretrainedBackbone):
    """VanillaNet with its classification head, for image classification.

    Args:
        *args: As for `ClassifierNetwork`, `arch` and `num_classes` first.
        norm_cfg: As for `VanillaNet`.
        init_cfg: As for `VanillaNet`.
        **kwargs: `num_classes`, `dropout`, and those of `VanillaNet` except `out_indices`.

    Raises:
        UserError: An argument is invalid; the message states what was expected.

    Example:
        >>> classifier = VanillaNetClassifier('5', num_classes=10).eval()
        >>> tuple(classifier(torch.rand(2, 3, 64, 64)).shape)
        (2, 10)
    """
