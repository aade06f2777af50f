"""Metadata of an exported file, from a detector and its config."""

import importlib.metadata
import platform
from pathlib import Path
from typing import Any, Optional

from mmdet.models.dense_heads import RTMDetInsHead
from torch import nn

from ..configs import type_name
from ..datasets.pipeline import inference_pipeline
from ..errors import UserError
from ..inference.settings import find_settings
from ..runtime.metadata import Metadata, Resize

_IGNORED_TRANSFORMS = ("PackDetInputs",)
_IGNORED_OPTIONS = ("type", "clip_object_border")  # these don't change the image
_DEFAULTS = dict(interpolation="bilinear", backend="cv2")
_PACKAGES = ("vanillanet_det", "torch", "mmdet", "onnx", "onnxscript", "openvino", "nncf")


def make_metadata(
    cfg: Any, detector: nn.Module, classes: tuple[str, ...], part: str = "detector"
) -> Metadata:
    """Collect a file's metadata.

    Args:
        cfg: The whole config, whose test pipeline defines the preprocessing.
        detector: The detector.
        classes: Class names.
        part: `detector` or `backbone`.

    Raises:
        UserError: The test pipeline does more than resize an image.
    """
    common = dict(
        kind=part,
        precision="fp32",
        model=Path(cfg.filename).stem if cfg.filename else type(detector).__name__,
        resize=find_resize(cfg),
        versions=_versions(),
    )
    if part == "backbone":
        return Metadata(**common)
    two_stages = hasattr(detector, "roi_head")
    test_cfg = detector.roi_head.test_cfg if two_stages else detector.bbox_head.test_cfg
    covers_image = isinstance(getattr(detector, "bbox_head", None), RTMDetInsHead)
    masks = covers_image or (two_stages and detector.roi_head.with_mask)
    settings = find_settings(cfg, classes)
    return Metadata(
        **common,
        classes=classes,
        class_scores=settings.class_scores,
        tiles=settings.tiles,
        format_version=2 if covers_image or settings.tiles else 1,
        score_threshold=float(test_cfg.score_thr),
        iou_threshold=float(test_cfg.nms.iou_threshold),
        max_detections=int(test_cfg.max_per_img),
        mask_threshold=float(test_cfg.mask_thr_binary) if masks else None,
        mask_stride=detector.bbox_head.prior_generator.strides[0][0] if covers_image else None,
    )


def find_resize(cfg: Any) -> Optional[Resize]:
    """Return how a config's test pipeline resizes images; None if it doesn't.

    Raises:
        UserError: The pipeline changes images in another way.
    """
    resize = None
    loading, *steps = inference_pipeline(cfg)
    expected = dict(color_type="color", imdecode_backend="cv2")
    if any(loading.get(key, value) != value for key, value in expected.items()):
        raise UserError(
            f"config {cfg.filename or ''}: its test pipeline loads images with {dict(loading)}, "
            f"which can't be exported; expected {expected}"
        )
    for step in steps:
        kind = type_name(step)
        if kind in _IGNORED_TRANSFORMS:
            continue
        options = {key: value for key, value in step.items() if key not in _IGNORED_OPTIONS}
        scale, keep_ratio = options.pop("scale", None), options.pop("keep_ratio", False)
        supported = all(_DEFAULTS.get(key) == value for key, value in options.items())
        if kind != "Resize" or resize is not None or not scale or not supported:
            raise UserError(
                f"config {cfg.filename or ''}: its test pipeline has {dict(step)}, which can't be "
                "exported; expected at most one Resize with scale and keep_ratio"
            )
        scale = (scale, scale) if isinstance(scale, int) else tuple(scale)
        resize = Resize(scale, bool(keep_ratio))
    return resize


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
