"""VanillaNet as a module of Ultralytics' model YAMLs."""

from collections.abc import Mapping
from typing import Any, Optional, Union

from torch import Tensor, nn
from ultralytics.nn.modules.block import RepVGGDW
from ultralytics.utils import LOGGER

from ..errors import UserError
from ..models.backbones.archs import resolve_arch
from ..models.backbones.vanillanet import VanillaNetwork

_LEAST_STRIDE = 8  # of the features that YOLO's neck takes
_PREFIX = "vanillanet_"


class PublishedBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm with the eps of VanillaNet's published weights.

    Ultralytics sets its own eps and momentum in every `nn.BatchNorm2d`, but in no subclass of it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)


class _Fusable(RepVGGDW):
    """What Ultralytics' `fuse()` finds: it looks for this class, and calls `fuse`."""

    def __init__(self) -> None:
        nn.Module.__init__(self)  # without the layers of RepVGGDW


class VanillaNet(VanillaNetwork, _Fusable):
    """VanillaNet with the arguments of a row in a model YAML of Ultralytics.

    `Index` rows after it select its features.

    Args:
        in_channels: Channels of the image; `ch` in a row, which is a list of one number.
        arch: A published arch, as `vanillanet_5`; or a dict with `dims` and `strides`.
        options: Further arguments of `VanillaNetwork`; `out_indices` is by default the last
            feature of each stride from 8 on.

    Raises:
        UserError: An argument is invalid.

    Example:
        >>> row = [-1, 1, "VanillaNet", ["ch", "vanillanet_5", {"act_num": 4}]]
    """

    def __init__(
        self,
        in_channels: Union[int, list[int]],
        arch: Union[str, dict],
        options: Optional[Mapping[str, Any]] = None,
    ) -> None:
        if isinstance(in_channels, list):
            (in_channels,) = in_channels
        if isinstance(arch, str):
            arch = arch.removeprefix(_PREFIX)
        options = dict(options or {})
        pooling = ("ada_pool", "stem_stride", "stem_padding")
        numbers = resolve_arch(arch, *(options.get(name) for name in pooling))
        options.setdefault(
            "out_indices",
            [i for i in numbers.last_of_each_stride if numbers.feature_strides[i] >= _LEAST_STRIDE],
        )
        try:
            super().__init__(arch, in_channels, norm=PublishedBatchNorm2d, **options)
        except TypeError as error:
            raise UserError(f"VanillaNet: options {options}: {error}") from error

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map images `(N, in_channels, H, W)` to the features, as a list for `Index`."""
        return list(self._features(x))

    def forward_fuse(self, x: Tensor) -> list[Tensor]:
        """Do what `forward` does, which Ultralytics replaces by this method after `fuse`."""
        return list(self._features(x))

    def fuse(self) -> None:
        """Fuse every layer into one convolution, in place, if lambda is 1.

        Otherwise, the training form is kept, and a warning says so.
        """
        if self.deploy:
            return
        if reason := self.deploy_refusal():
            LOGGER.warning(f"VanillaNet: not fused: {reason}, and only lambda 1 can be fused")
            return
        self.switch_to_deploy()

    def switch_to_deploy(self) -> None:
        """Fuse every layer into one convolution, in place; see `VanillaNetwork`."""
        super().switch_to_deploy()
        # Ultralytics reads the channels of the image from the first parameter.
        self.stages = self._modules.pop("stages")
