"""1x1 convolutions and max pooling as the CPU computes them fastest, without gradients."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def in_eager_inference() -> bool:
    """Say whether operators run one by one, and nobody will ask for gradients.

    Compilers, tracers and exporters know the ordinary operators by name, and do better with
    those.
    """
    return not (torch.is_grad_enabled() or torch.jit.is_tracing() or torch.compiler.is_compiling())


def computes_on_cpu(x: Any) -> bool:
    """Say whether this is a tensor that the CPU computes on, in eager inference."""
    # torch.fx's stand-ins are no tensors.
    return isinstance(x, Tensor) and x.device.type == "cpu" and in_eager_inference()


class PointwiseConv2d(nn.Conv2d):
    """1x1 convolution that is a matrix product on CPUs.

    It is `nn.Conv2d(in_channels, out_channels, 1)` in all else. PyTorch's convolutions reorder
    their kernel at every call, for VanillaNet's deep layers longer than they compute, and their
    kernels for 1x1 take up to three times as long as the matrix product where there are many
    channels and few pixels.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        device: Where the parameters are.
        dtype: Their type.
    """

    def __init__(
        self, in_channels: int, out_channels: int, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(in_channels, out_channels, 1, device=device, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, in_channels, H, W)` to `(N, out_channels, H, W)`, in the layout of the input."""
        if not computes_on_cpu(x) or x.dim() != 4:
            return super().forward(x)
        matrix = self.weight.flatten(1)
        if x.is_contiguous():
            pixels = x.flatten(2)
            bias = self.bias[:, None]
            if len(x) == 1:
                y = torch.addmm(bias, matrix, pixels[0])[None]
            else:
                y = torch.baddbmm(bias, matrix.expand(len(x), -1, -1), pixels)
            return y.unflatten(2, x.shape[2:])
        # Channels-last, pixels are the rows of the matrix.
        return F.linear(x.movedim(1, 3), matrix, self.bias).movedim(3, 1)


def max_pool_inplace(x: Tensor, stride: int) -> Tensor:
    """Max pooling without overlap, by comparing whole rows and then columns.

    PyTorch's own takes up to ten times as long on contiguous tensors, since it looks for each
    maximum's place, too.

    Args:
        x: Shape `(N, C, H, W)`; its values are lost.
        stride: Side of the windows and distance between them.

    Returns:
        Shape `(N, C, H // stride, W // stride)`, in the layout of the input.
    """
    height, width = (side // stride * stride for side in x.shape[2:])
    x = x[:, :, :height, :width]
    rows = x[:, :, ::stride]
    for i in range(1, stride):
        torch.maximum(rows, x[:, :, i::stride], out=rows)
    pooled = rows[..., ::stride]
    for i in range(1, stride):
        pooled = torch.maximum(pooled, rows[..., i::stride])
    return pooled
