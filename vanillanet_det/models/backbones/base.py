"""Base class of the backbones: frozen parts, and BatchNorms that stay in evaluation mode."""

from collections.abc import Iterable

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class Backbone(nn.Module):
    """An image network with `frozen_stages` and `norm_eval`, as in MMDetection's backbones.

    Attributes:
        in_channels: Channels of the image.
        out_channels: Channels of each returned feature.
        out_strides: Stride of each returned feature relative to the image.
        norm_eval: Keep BatchNorms in evaluation mode while training.
    """

    in_channels: int
    out_channels: tuple[int, ...]
    out_strides: tuple[int, ...]
    norm_eval = False

    def frozen_modules(self) -> Iterable[nn.Module]:
        """Return the modules that `frozen_stages` freezes."""
        return ()

    def train(self, mode: bool = True) -> "Backbone":
        """Set the mode, but keep frozen stages and, with `norm_eval`, BatchNorms in evaluation."""
        super().train(mode)
        if mode:
            self._freeze()
            if self.norm_eval:
                for module in self.modules():
                    if isinstance(module, _BatchNorm):
                        module.eval()
        return self

    def _freeze(self) -> None:
        for module in self.frozen_modules():
            module.eval().requires_grad_(False)
