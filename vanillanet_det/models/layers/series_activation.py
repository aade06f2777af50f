"""The series-informed activation of VanillaNet, and the other readings of its formula."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import UserError
from .activation import activate, check_activation, mark_activation
from .fusion import fuse_conv_bn, round_fused
from .norm import NormFactory, batch_norm


class SeriesActivation(nn.Module):
    """Activation over a neighbourhood: ReLU, depthwise convolution and BN.

    With an activation `A` and the shift `b_c` of the BN,
    `A_s(x)[h, w, c] = sum over i, j in -n..n of a[i, j, c] A(x[h + i, w + j, c] + b_c)`
    (https://arxiv.org/abs/2305.12972, section 3.2). Input and output have the shape
    `(N, channels, H, W)`.

    In the deployed form the BN is folded into the kernel, which gains a bias.

    Args:
        channels: Number of channels.
        act_num: `n`, for a kernel size of `2 n + 1`. 0 only scales each channel.
        norm: Function that builds the BatchNorm.
        deploy: Build the deployed form.
        act_base: `A`, one of `ACTIVATIONS`; the published networks have ReLU.

    Raises:
        UserError: `act_num` isn't a non-negative integer, or there is no such activation.
    """

    least = 0

    def __init__(
        self,
        channels: int,
        act_num: int,
        norm: NormFactory = batch_norm,
        deploy: bool = False,
        act_base: str = "relu",
    ) -> None:
        super().__init__()
        if not isinstance(act_num, int) or isinstance(act_num, bool) or act_num < self.least:
            expected = "positive" if self.least else "non-negative"
            raise UserError(
                f"{type(self).__name__}: act_num {act_num!r}; expected a {expected} integer; "
                "the published networks use 3 (classification) and 4 (detection)"
            )
        self.channels, self.act_num, self.act_base = channels, act_num, act_base
        check_activation(act_base)
        mark_activation(self, act_base)
        self.weight = nn.Parameter(torch.empty(channels, *self._kernel()))
        nn.init.trunc_normal_(self.weight, std=0.02)
        if deploy:
            self.bias = nn.Parameter(torch.zeros(channels))
        else:
            self.register_parameter("bias", None)
            self.bn = norm(channels)

    def _kernel(self) -> tuple[int, int, int]:
        side = 2 * self.act_num + 1
        return 1, side, side

    @property
    def deploy(self) -> bool:
        """Whether this is the deployed form."""
        return self.bias is not None

    def forward(self, x: Tensor, inplace: bool = False) -> Tensor:
        """Apply the activation to `(N, channels, H, W)`; the shape is unchanged.

        Args:
            x: The feature.
            inplace: Whether a ReLU may overwrite the feature.
        """
        x = self._sum(x, inplace)
        return x if self.deploy else self.bn(x)

    def _sum(self, x: Tensor, inplace: bool) -> Tensor:
        x = activate(x, self.act_base, inplace)
        return F.conv2d(x, self.weight, self.bias, padding=self.act_num, groups=self.channels)

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
            The kernel, of the same shape, and the bias `(channels,)`.

        Raises:
            UserError: The values exceed the module's precision, or the BN has no running
                statistics.
        """
        weight, bias = fuse_conv_bn(self.weight, None, self.bn)
        return tuple(round_fused(value, self.weight.dtype, name) for value in (weight, bias))

    def extra_repr(self) -> str:
        """Return the arguments of the module for its repr."""
        base = "" if self.act_base == "relu" else f", act_base={self.act_base!r}"
        return f"{self.channels}, act_num={self.act_num}{base}, deploy={self.deploy}"


class PointwiseSeries(SeriesActivation):
    """Sum of shifted activations of a pixel alone, without its neighbours, and BN.

    `A_s(x) = sum over i in 1..n of a[c, i] A(x + b[c, i])`, the first formula of
    https://arxiv.org/abs/2305.12972, section 3.2.

    In the deployed form the BN is folded into `a`, and a bias is added.

    Args:
        *args: As for `SeriesActivation`, but `act_num` is the number of terms, at least 1.
        **kwargs: As for `SeriesActivation`.

    Raises:
        UserError: As for `SeriesActivation`.
    """

    least = 1

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Terms start apart, since equal ones would stay nearly equal. The input is normalised.
        shifts = torch.linspace(-1, 1, self.act_num) if self.act_num > 1 else torch.zeros(1)
        # Of one dimension, so that weight decay leaves it out, like other biases.
        self.shift = nn.Parameter(shifts.repeat(self.channels))

    def _kernel(self) -> tuple[int, int, int]:
        return self.act_num, 1, 1

    def _sum(self, x: Tensor, inplace: bool) -> Tensor:
        # In the precision of the feature, which mixed precision lowers.
        weight = self.weight.to(x.dtype)
        shift = self.shift.to(x.dtype).view(self.channels, self.act_num, 1, 1)
        # By index, for torch.fx.
        x = sum(
            weight[:, i] * activate(x + shift[:, i], self.act_base, True)
            for i in range(self.act_num)
        )
        return x if self.bias is None else x + self.bias.to(x.dtype)[:, None, None]


@dataclass(frozen=True)
class Series:
    """The kind of a network's series activations; see `SeriesActivation`.

    Attributes:
        act_num: `n`: neighbours in each direction, or the number of terms without neighbours.
        act_base: The activation `A`, one of `ACTIVATIONS`.
        act_neighbours: Whether it sums over a neighbourhood.

    Raises:
        UserError: There is no such activation, or `act_neighbours` is no bool.
    """

    act_num: int = 3
    act_base: str = "relu"
    act_neighbours: bool = True

    def __post_init__(self) -> None:
        """Raise an error if there is no such activation."""
        check_activation(self.act_base)
        if not isinstance(self.act_neighbours, bool):
            raise UserError(f"act_neighbours {self.act_neighbours!r}; expected True or False")

    def build(
        self, channels: int, norm: NormFactory = batch_norm, deploy: bool = False
    ) -> SeriesActivation:
        """Build an activation of this kind for a number of channels."""
        kind = SeriesActivation if self.act_neighbours else PointwiseSeries
        return kind(channels, self.act_num, norm, deploy, self.act_base)

    @property
    def arguments(self) -> dict[str, object]:
        """Arguments of a network with this kind."""
        return asdict(self)

    def __str__(self) -> str:
        """Return the arguments that aren't the default, and act_num, for messages."""
        base = "" if self.act_base == "relu" else f", act_base {self.act_base!r}"
        alone = "" if self.act_neighbours else ", act_neighbours False"
        return f"act_num {self.act_num}{base}{alone}"
