"""Max pooling that keeps one byte per output for the backward pass."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


class _MaxPool(torch.autograd.Function):
    """Non-overlapping max pooling that remembers where in its window each maximum stood."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, stride: int) -> Tensor:
        """Pool, and note the place of each maximum, the first one where several are equal."""
        y = F.max_pool2d(x, stride)
        place = torch.zeros_like(y, dtype=torch.uint8)
        for index, window in reversed(list(enumerate(_windows(x, y, stride)))):
            place.masked_fill_(window == y, index)
        ctx.save_for_backward(place)
        ctx.shape, ctx.stride = x.shape, stride
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Hand each gradient to where its maximum stood."""
        (place,) = ctx.saved_tensors
        # In the memory layout of the features: every layer in front would have to convert.
        last = place.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if last else torch.contiguous_format
        result = torch.empty(
            ctx.shape, dtype=gradient.dtype, device=gradient.device, memory_format=layout
        )
        if any(side % ctx.stride for side in ctx.shape[-2:]):
            result.zero_()  # what is in no window
        for index, window in enumerate(_windows(result, place, ctx.stride)):
            window.copy_(gradient.masked_fill(place != index, 0))
        return result, None


def _windows(x: Tensor, y: Tensor, stride: int) -> list[Tensor]:
    """Take the pixels of all windows, those of the first place in each, and so on."""
    height, width = (side * stride for side in y.shape[-2:])
    return [x[..., i:height:stride, j:width:stride] for i in range(stride) for j in range(stride)]


class MaxPool(nn.Module):
    """Max pooling without overlap, `nn.MaxPool2d(stride)` with less to keep.

    PyTorch's keeps its input and an 8-byte index for each output, 24 bytes per output at stride
    2 in float32; this one keeps a single byte.

    Args:
        stride: Side of the windows and distance between them.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, C, H, W)` to `(N, C, H // stride, W // stride)`."""
        # A place in a window must fit into a byte.
        if torch.is_grad_enabled() and x.requires_grad and self.stride <= 16:
            return _MaxPool.apply(x, self.stride)
        return F.max_pool2d(x, self.stride)

    def extra_repr(self) -> str:
        """Describe the module the way torch's own layers do."""
        return f"stride={self.stride}"
