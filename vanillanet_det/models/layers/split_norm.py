"""Split normalisation: a BatchNorm before a convolution, and a scale and shift behind it."""

from typing import Optional

import torch
from torch import Tensor, nn

from ...errors import UserError
from .fusion import bn_scale_shift, round_fused
from .norm import NormFactory


def plain_norm(channels: int) -> nn.BatchNorm2d:
    """Build the BatchNorm of a split normalisation, which has no parameters."""
    return nn.BatchNorm2d(channels, affine=False)


class SplitNormConv2d(nn.Module):
    """BatchNorm without parameters, convolution without bias, and a scale and shift per channel.

    In the deployed form, both are folded into the convolution, which gains a bias. A convolution
    that pads with zeros pads the normalised feature, whose zeros are the mean of the original one:
    the mean can't be folded into a bias without changing the border. Therefore it is subtracted
    from the feature, the only operation besides the convolution:
    `y = conv(pad(x - mean)) + bias`. Without padding, or with a padding that repeats values,
    there is nothing to subtract.

    Args:
        conv: The convolution, of any kernel size, stride, padding, dilation and groups. Its bias
            is dropped, which the shift makes redundant.
        norm: Function that builds the BatchNorm, without parameters.
        deploy: Build the deployed form.

    Raises:
        UserError: The BatchNorm has parameters.
    """

    def __init__(
        self, conv: nn.Conv2d, norm: NormFactory = plain_norm, deploy: bool = False
    ) -> None:
        super().__init__()
        self.conv, channels = conv, conv.out_channels
        factory = dict(device=conv.weight.device, dtype=conv.weight.dtype)
        conv.bias = nn.Parameter(torch.zeros(channels, **factory)) if deploy else None
        if deploy:
            if self._pads_zeros():
                self.register_buffer("mean", torch.zeros(conv.in_channels, 1, 1, **factory))
            return
        self.norm = norm(conv.in_channels).to(**factory)
        if any(True for _ in self.norm.parameters()):
            raise UserError(f"SplitNormConv2d: {self.norm}; expected a BatchNorm with affine=False")
        self.scale = nn.Parameter(torch.ones(channels, **factory))
        self.shift = nn.Parameter(torch.zeros(channels, **factory))

    def _pads_zeros(self) -> bool:
        conv = self.conv
        if conv.padding_mode != "zeros" or conv.padding == "valid":
            return False
        if conv.padding == "same":
            return conv.kernel_size != (1, 1)
        return any(conv.padding)

    @property
    def deploy(self) -> bool:
        """Whether this is the deployed form."""
        return not hasattr(self, "norm")

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, in_channels, H, W)` to the convolution's output."""
        if not self.deploy:
            y = self.conv(self.norm(x))
            # In the precision of the convolution, which mixed precision lowers.
            scale, shift = (each.to(y.dtype)[:, None, None] for each in (self.scale, self.shift))
            return torch.addcmul(shift, y, scale)
        return self.conv(x - self.mean if hasattr(self, "mean") else x)

    def switch_to_deploy(self) -> None:
        """Fold the BatchNorm, the scale and the shift, in place; a second call does nothing.

        Raises:
            UserError: As for `fused`.
        """
        if self.deploy:
            return
        weight, bias, mean = self.fused()
        self.conv.weight, self.conv.bias = nn.Parameter(weight), nn.Parameter(bias)
        del self.norm, self.scale, self.shift
        if mean is not None:
            self.register_buffer("mean", mean)

    def fold_normalization(self, mean: Tensor, std: Tensor, flip: bool) -> bool:
        """Make the deployed form accept raw pixels instead of normalised images, in place.

        Args:
            mean: Mean of each channel, in the order of the normalised image, float64.
            std: Standard deviation of each channel, in the same order, float64.
            flip: Whether the pixels have their channels in the opposite order.

        Returns:
            Whether it was done. It can't be done in 16 bits, without a subtraction, or with
            another number of channels.

        Raises:
            UserError: The folded kernel doesn't fit the precision.
        """
        dtype = self.conv.weight.dtype
        if dtype not in (torch.float32, torch.float64) or len(mean) != self.conv.in_channels:
            return False
        if not hasattr(self, "mean"):
            return False
        mean, std = (each.to(self.mean.device)[:, None, None] for each in (mean, std))
        values = self.conv.weight.detach().double() / std, self.mean.double() * std + mean
        weight, subtracted = (round_fused(value, dtype, "stem") for value in values)
        self.conv.weight.data = (weight.flip(1) if flip else weight).contiguous()
        self.mean = subtracted.flip(0) if flip else subtracted
        return True

    def fused(self, name: str = "a split normalisation") -> tuple[Tensor, Tensor, Optional[Tensor]]:
        """Return the tensors of the deployed form, without changing the module.

        Args:
            name: Name of the layer in error messages.

        Returns:
            Kernel, bias `(out_channels,)`, and the mean to subtract, `(in_channels, 1, 1)` or None.

        Raises:
            UserError: The values exceed the module's precision, or the BatchNorm has no running
                statistics.
        """
        conv = self.conv
        scale, shift = (
            each.view(conv.groups, -1).repeat_interleave(conv.out_channels // conv.groups, 0)
            for each in bn_scale_shift(self.norm)
        )  # of the input channels of each output channel
        weight = conv.weight.detach().double() * self.scale.detach().double()[:, None, None, None]
        values = [weight * scale[:, :, None, None], self.shift.detach().double()]
        if self._pads_zeros():
            values.append(self.norm.running_mean.detach().double()[:, None, None])
        else:
            values[1] = values[1] + (weight * shift[:, :, None, None]).sum((1, 2, 3))
        weight, bias, *mean = (round_fused(value, conv.weight.dtype, name) for value in values)
        return weight.contiguous(), bias, mean[0] if mean else None
