"""The series-informed activation of VanillaNet."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import UserError
from .fusion import fuse_conv_bn, round_fused
from .norm import NormFactory, batch_norm


class SeriesActivation(nn.Module):
    """Activation over a neighbourhood: ReLU, depthwise convolution and BN.

    With a ReLU `A` and the shift `b_c` of the BN,
    `A_s(x)[h, w, c] = sum over i, j in -n..n of a[i, j, c] A(x[h + i, w + j, c] + b_c)`
    (https://arxiv.org/abs/2305.12972, section 3.2). Input and output have the shape
    `(N, channels, H, W)`.

    In the deployed form the BN is folded into the kernel, which gains a bias.

    Args:
        channels: Number of channels.
        act_num: `n`, for a kernel size of `2 n + 1`. 0 only scales each channel.
        norm: Function that builds the BatchNorm.
        deploy: Build the deployed form.

    Raises:
        UserError: `act_num` isn't a non-negative integer.
    """

    def __init__(
        self,
        channels: int,
        act_num: int,
        norm: NormFactory = batch_norm,
        deploy: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(act_num, int) or isinstance(act_num, bool) or act_num < 0:
            raise UserError(
                f"SeriesActivation: act_num {act_num!r}; expected a non-negative integer; "
                "the published networks use 3 (classification) and 4 (detection)"
            )
        self.channels = channels
        self.act_num = act_num
        side = 2 * act_num + 1
        self.weight = nn.Parameter(torch.empty(channels, 1, side, side))
        nn.init.trunc_normal_(self.weight, std=0.02)
        if deploy:
            self.bias = nn.Parameter(torch.zeros(channels))
        else:
            self.register_parameter("bias", None)
            self.bn = norm(channels)

    @property
    def deploy(self) -> bool:
        """Whether this is the deployed form."""
        return self.bias is not None

    def forward(self, x: Tensor, inplace: bool = False) -> Tensor:
        """Apply the activation to `(N, channels, H, W)`; the shape is unchanged.

        Args:
            x: The feature.
            inplace: Whether the ReLU may overwrite the feature.
        """
        x = F.relu(x, inplace)
        x = F.conv2d(x, self.weight, self.bias, padding=self.act_num, groups=self.channels)
        return x if self.deploy else self.bn(x)

    def switch_to_deploy(self) -> None:
        """Fold the BN into the kernel, in place; a second call does nothing."""
        if self.deploy:
            return
        weight, bias = self.fused()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        del self.bn

    def fused(self, name: str = "a series activation") -> tuple[Tensor, Tensor]:
        """Return the kernel and bias of the deployed form, without changing the module.

        Args:
            name: Name of the layer in error messages.

        Returns:
            Kernel `(channels, 1, 2 n + 1, 2 n + 1)` and bias `(channels,)`.

        Raises:
            UserError: The values exceed the module's precision, or the BN has no running
                statistics.
        """
        weight, bias = fuse_conv_bn(self.weight, None, self.bn)
        return tuple(round_fused(value, self.weight.dtype, name) for value in (weight, bias))

    def extra_repr(self) -> str:
        """Return the arguments of the module for its repr."""
        return f"{self.channels}, act_num={self.act_num}, deploy={self.deploy}"
