"""1x1 convolutions and max pooling in the fastest form for inference on CPUs."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# PyTorch 2.1 and 2.2 have no public function.
_is_compiling = getattr(torch.compiler, "is_compiling", None) or torch._utils.is_compiling
STRIP_BYTES = 16 * 2**20  # small enough that C libraries reuse memory instead of requesting it


def in_eager_inference() -> bool:
    """Return whether operators run one by one, without gradients.

    Compilers, tracers and exporters work better with the ordinary operators, which they recognise.
    """
    return not (torch.is_grad_enabled() or torch.jit.is_tracing() or _is_compiling())


def computes_on_cpu(x: Any) -> bool:
    """Return whether `x` is a tensor on the CPU, in eager inference."""
    # Proxies of torch.fx aren't tensors.
    return isinstance(x, Tensor) and x.device.type == "cpu" and in_eager_inference()


class PointwiseConv2d(nn.Conv2d):
    """1x1 convolution that is computed as a matrix product on CPUs.

    Otherwise, it is `nn.Conv2d(in_channels, out_channels, 1)`. PyTorch's convolutions reorder
    their kernel at every call, which takes longer than the computation itself in VanillaNet's deep
    layers. With many channels and few pixels, their 1x1 kernels also take up to three times as long
    as the matrix product.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        device: Device of the parameters.
        dtype: Data type of the parameters.
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
        if x.stride()[2:] == (x.shape[3], 1):  # contiguous, or rows of a contiguous tensor
            pixels = x.flatten(2)
            bias = self.bias[:, None]
            if len(x) == 1:
                y = torch.addmm(bias, matrix, pixels[0])[None]
            else:
                y = torch.baddbmm(bias, matrix.expand(len(x), -1, -1), pixels)
            return y.unflatten(2, x.shape[2:])
        # In channels-last format, pixels are the rows of the matrix.
        return F.linear(x.movedim(1, 3), matrix, self.bias).movedim(3, 1)


def convolve_and_pool(conv: PointwiseConv2d, x: Tensor, stride: int) -> Tensor:
    """Apply a 1x1 convolution and max pooling without overlap, in strips of rows.

    The convolution's output is `stride ** 2` times as large as the pooled result. A strip of the
    output fits into the cache and reuses memory that the process already has.

    Args:
        conv: The convolution.
        x: Shape `(N, in_channels, H, W)`, neither side smaller than the stride.
        stride: Size of the windows, and distance between them.

    Returns:
        Shape `(N, out_channels, H // stride, W // stride)`, in the layout of the input.
    """
    (images, _, height, width), channels = x.shape, conv.out_channels
    row = channels * width * stride * x.element_size()
    if images * row * (height // stride) <= 2 * STRIP_BYTES:
        return _max_pool(conv(x), stride)
    rows = max(1, STRIP_BYTES // row)
    y = None
    for image in range(images):
        for top in range(0, height // stride, rows):
            strip = x[image : image + 1, :, top * stride : (top + rows) * stride]
            pooled = _max_pool(conv(strip), stride)
            if y is None:  # only now, because autocast determines the type
                last = pooled.is_contiguous(memory_format=torch.channels_last)
                y = torch.empty(
                    (images, channels, height // stride, width // stride),
                    dtype=pooled.dtype,
                    device=pooled.device,
                    memory_format=torch.channels_last if last else torch.contiguous_format,
                )
            y[image, :, top : top + rows] = pooled[0]
    return y


def _max_pool(x: Tensor, stride: int) -> Tensor:
    """Apply max pooling by comparing whole rows and then columns.

    PyTorch's max pooling takes up to ten times as long on contiguous tensors, because it also finds
    the position of each maximum.
    """
    height, width = (side // stride * stride for side in x.shape[2:])
    x = x[:, :, :height, :width]
    rows = x[:, :, ::stride]
    for i in range(1, stride):
        rows = torch.maximum(rows, x[:, :, i::stride])
    pooled = rows[..., ::stride]
    for i in range(1, stride):
        pooled = torch.maximum(pooled, rows[..., i::stride])
    return pooled
