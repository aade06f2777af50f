"""Exportable modules that map uint8 images to the padded detections of a detector."""

import copy

import torch
from mmdet.models.dense_heads import RTMDetInsHead
from torch import Tensor, nn

from ..models.raw_pixels import fold_normalization
from .instances import ExportedRTMDetIns
from .preprocessor import ExportedPreprocessor
from .single_stage import ExportedSingleStage
from .two_stage import ExportedTwoStage


def export_form(
    detector: nn.Module,
    part: str = "detector",
    dtype: torch.dtype = torch.float32,
    nms: bool = True,
    fold: bool = True,
) -> tuple[nn.Module, tuple[str, ...]]:
    """Convert a detector, or its backbone, to the form that is exported.

    Args:
        detector: The fused detector, which passes `check_support`; not changed.
        part: `detector` or `backbone`.
        dtype: Data type to compute in.
        nms: Whether to include non-maximum suppression; otherwise all candidates are returned.
        fold: Whether to fold normalisation into the stem if possible. Unsuitable for 16 bits: the
            folded kernel has a large bias that its sums must cancel.

    Returns:
        A module that takes uint8 images `(N, H, W, 3)` in BGR, and the names of its outputs.
    """
    detector = copy.deepcopy(detector).eval()
    if fold:
        fold_normalization(detector)
    if part == "backbone":
        form = ExportedBackbone(detector, dtype).eval()
        with torch.no_grad():
            count = len(form(torch.zeros(1, 64, 64, 3, dtype=torch.uint8)))
        return form, tuple(f"feature_{index}" for index in range(count))
    outputs = ("boxes", "scores", "labels")
    if isinstance(getattr(detector, "bbox_head", None), RTMDetInsHead):
        return ExportedRTMDetIns(detector, dtype).eval(), (*outputs, "masks")
    if not hasattr(detector, "roi_head"):
        return ExportedSingleStage(detector, dtype, nms).eval(), outputs
    masks = ("masks",) if detector.roi_head.with_mask else ()
    return ExportedTwoStage(detector, dtype).eval(), outputs + masks


class ExportedBackbone(nn.Module):
    """A detector's backbone, from images to features.

    Args:
        detector: The fused detector.
        dtype: Data type to compute in.
    """

    def __init__(self, detector: nn.Module, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.preprocessor = ExportedPreprocessor(detector.data_preprocessor)
        self.backbone, self.dtype = detector.backbone.to(dtype), dtype

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map uint8 `(N, H, W, 3)` to features `(N, C, h, w)` in float32."""
        return tuple(x.float() for x in self.backbone(self.preprocessor(images).to(self.dtype)))
