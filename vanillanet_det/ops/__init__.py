"""mmcv's compiled ops on torchvision and PyTorch, for environments with mmcv-lite.

`supply_ext` puts them where `mmcv.ops` looks for them. Each family of ops has a file;
their names, arguments and output buffers are those of mmcv 2.1.
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
]
