"""The two halves of a convolution that is evaluated only at chosen positions.

Between them, `mmcv.ops.MaskedConv2d` multiplies by its kernel. mmcv defines no gradient.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .registry import op


@op
def masked_im2col_forward(
    im: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    col: Tensor,
    kernel_h: int,
    kernel_w: int,
    pad_h: int,
    pad_w: int,
) -> None:
    """Copy the patch at each chosen position into a column.

    Args:
        im: One image, shape `(1, channels, h, w)`.
        mask_h_idx: Row of each position, int64 of shape `(positions,)`.
        mask_w_idx: Column of each position, int64 of shape `(positions,)`.
        col: Filled, shape `(channels * kernel_h * kernel_w, positions)`.
        kernel_h: Height of a patch.
        kernel_w: Width of a patch.
        pad_h: Zeros above the image; a patch may reach past the image on every side.
        pad_w: Zeros left of the image.
    """
    below, right = max(kernel_h - 1 - pad_h, 0), max(kernel_w - 1 - pad_w, 0)
    padded = F.pad(im[0], (pad_w, right, pad_h, below))
    rows = mask_h_idx + torch.arange(kernel_h, device=im.device)[:, None]
    columns = mask_w_idx + torch.arange(kernel_w, device=im.device)[:, None]
    col.copy_(padded[:, rows[:, None], columns[None]].reshape(col.shape))


@op
def masked_col2im_forward(
    col: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    im: Tensor,
    height: int,
    width: int,
    channels: int,
) -> None:
    """Write each column to its position; other positions keep their values.

    Args:
        col: Shape `(channels, positions)`.
        mask_h_idx: Row of each position, int64 of shape `(positions,)`.
        mask_w_idx: Column of each position, int64 of shape `(positions,)`.
        im: Written to, shape `(1, channels, height, width)`.
        height: Height of `im`.
        width: Width of `im`.
        channels: Channels of `im`.
    """
    im[0, :, mask_h_idx, mask_w_idx] = col.to(im.dtype)
