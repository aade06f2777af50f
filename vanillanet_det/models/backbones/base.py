"""Base class of the backbones: frozen parts, and BatchNorms that stay in evaluation mode."""

from collections.abc import Iterable, Mapping

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...checkpoints.match import Match
from ...errors import UserError

_PIXELS = {True: "pixels from 0 to 255", False: "normalised images"}


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
    deploy: bool

    @property
    def form(self) -> str:
        """Form of the network: `training` or `deployed`."""
        return "deployed" if self.deploy else "training"

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


def check_pixels(expected: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Raise an error if only one of two state dicts has the normalisation of images folded in.

    Args:
        expected: State dict of the network.
        state: The weights to load.

    Raises:
        UserError: One of them expects pixels, and the other one normalised images.
    """
    takes, given = ("raw_pixels" in tensors for tensors in (expected, state))
    if takes != given and state:
        raise UserError(
            f"the weights expect {_PIXELS[given]}, but the network expects {_PIXELS[takes]}; "
            "save and load weights before the normalisation is folded into them"
        )


def match_shapes(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Match:
    """Compare weights with the state dict of a network, by the names of their tensors.

    Args:
        state: The weights to load.
        expected: State dict of the network.

    Raises:
        UserError: A tensor has another shape.
    """
    match = Match.of(state, expected)
    for key in match.misshapen[:1]:
        raise UserError(
            f"{key} has the shape {tuple(state[key].shape)}, but the network expects "
            f"{tuple(expected[key].shape)}"
        )
    return match
