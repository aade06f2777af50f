"""mmcv's compiled ops, built on top of torchvision and PyTorch, for use with mmcv-lite.

`supply_ext` makes them available to `mmcv.ops`. Each family of ops has its own file. The names,
arguments and output buffers of the ops are the same as in mmcv 2.1.
"""

from . import (
    carafe,
    deform_conv,
    deform_roi_pool,
    focal_loss,
    masked_conv,
    ms_deform_attn,
    nms,
    roi_align,
    roi_pool,
    sync_bn,
)
from .ext import supply_ext
from .registry import OPS

__all__ = [
    "OPS",
    "carafe",
    "deform_conv",
    "deform_roi_pool",
    "focal_loss",
    "masked_conv",
    "ms_deform_attn",
    "nms",
    "roi_align",
    "roi_pool",
    "supply_ext",
    "sync_bn",
]
