"""GResNet with the arguments and methods of timm's networks, and in its registry."""

from contextlib import nullcontext
from typing import Any, Optional, Union

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn

from ..models.backbones.gresnet import DEPTHS
from ..models.backbones.gresnet_classifier import GResNetClassifierNetwork
from .methods import TimmMethods


class GResNetTimm(TimmMethods, GResNetClassifierNetwork):
    """GResNet with timm's arguments and methods.

    Args:
        depth: 50 or 101.
        num_classes: Number of classes; 0 for the pooled features.
        in_chans: Channels of the image.
        global_pool: timm's name of a pooling; '' for none.
        drop_rate: Fraction of the pooled channels to drop in training.
        drop_path_rate: Probability to skip the last block in training.
        deploy: Build the deployed form.
        width: As for `GResNetwork`.
        device: Where to build it.
        dtype: Precision of its floating-point tensors.

    Raises:
        UserError: An argument is invalid; the message states what was expected.

    Example:
        >>> import timm, vanillanet_det.classifiers
        >>> model = timm.create_model("gresnet50", num_classes=10).eval()
        >>> model(torch.rand(1, 3, 64, 64)).shape
        torch.Size([1, 10])
        >>> model.switch_to_deploy()  # or timm.utils.reparameterize_model(model)
    """

    extra_stages = 1

    def __init__(
        self,
        depth: int = 50,
        num_classes: int = 1000,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        deploy: bool = False,
        width: int = 64,
        device: Union[torch.device, str, None] = None,
        dtype: Optional[torch.dtype] = None,
    ) -> None:
        self.global_pool = global_pool
        with nullcontext() if device is None else torch.device(device):
            super().__init__(
                depth,
                num_classes,
                drop_rate,
                in_channels=in_chans,
                drop_path=drop_path_rate,
                deploy=deploy,
                width=width,
            )
        self.to(dtype=dtype)

    def timm_features(self) -> list[tuple[int, int, str, int]]:
        """Return channels, stride, module and index in `_features` of each feature of timm's."""
        return [(4 * self.width * 2**i, 4 * 2**i, f"stages.{i}", i) for i in range(4)]

    def group_matcher(self, coarse: bool = False) -> dict:
        """Return patterns of the layers for layer-wise learning rates: stem, blocks, and head."""
        blocks = r"^stages\.(\d+)" if coarse else r"^stages\.(\d+)\.(\d+)"
        return dict(stem=r"^stem", blocks=blocks)


default_cfgs = generate_default_cfgs(
    {
        f"gresnet{depth}": dict(
            input_size=(3, 176, 176),
            test_input_size=(3, 224, 224),
            pool_size=(6, 6),
            first_conv="stem.0.conv",
            classifier="cls.2",
        )
        for depth in DEPTHS
    }
)


def _register(depth: int) -> None:
    name = f"gresnet{depth}"

    def create(pretrained: bool = False, **kwargs: Any) -> nn.Module:
        return build_model_with_cfg(
            GResNetTimm,
            name,
            pretrained,
            feature_cfg=dict(feature_cls="getter", out_indices=(0, 1, 2, 3)),
            depth=depth,
            **kwargs,
        )

    create.__name__ = create.__qualname__ = name
    create.__doc__ = f"Build GResNet-{depth}; see `GResNetTimm` for the arguments."
    register_model(create)


for _depth in DEPTHS:
    _register(_depth)
