"""What an exported file says of itself."""

import importlib.metadata
import platform
from pathlib import Path
from typing import Any, Optional

from torch import nn

from ..datasets.pipeline import inference_pipeline
from ..errors import UserError
from ..runtime.metadata import Metadata, Resize

_PACKED = ("PackDetInputs",)
_NOT_OF_PICTURES = ("type", "clip_object_border")
_PLAIN = dict(interpolation="bilinear", backend="cv2")
_PACKAGES = ("vanillanet_det", "torch", "mmdet", "onnx", "onnxscript", "openvino", "nncf")


def describe(
    cfg: Any, detector: nn.Module, classes: tuple[str, ...], part: str = "detector"
) -> Metadata:
    """Describe a detector's file.

    Args:
        cfg: The whole config, whose test pipeline says how pictures are prepared.
        detector: The detector.
        classes: Names of its classes.
        part: `detector`, or `backbone`.

    Raises:
        UserError: The test pipeline does more with a picture than resize it.
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
    masks = two_stages and detector.roi_head.with_mask
    return Metadata(
        **common,
        classes=classes,
        score_threshold=float(test_cfg.score_thr),
        iou_threshold=float(test_cfg.nms.iou_threshold),
        max_detections=int(test_cfg.max_per_img),
        mask_threshold=float(test_cfg.mask_thr_binary) if masks else None,
    )


def find_resize(cfg: Any) -> Optional[Resize]:
    """Find how a config's test pipeline resizes pictures; None if it doesn't.

    Raises:
        UserError: It does anything else with them.
    """
    resize = None
    loading, *steps = inference_pipeline(cfg)
    expected = dict(color_type="color", imdecode_backend="cv2")
    if any(loading.get(key, value) != value for key, value in expected.items()):
        raise UserError(
            f"config {cfg.filename or ''}: its test pipeline loads with {dict(loading)}, which an "
            f"exported file can't say; expected {expected}"
        )
    for step in steps:
        kind = str(step["type"]).rpartition(".")[2]
        if kind in _PACKED:
            continue
        options = {key: value for key, value in step.items() if key not in _NOT_OF_PICTURES}
        scale, keep_ratio = options.pop("scale", None), options.pop("keep_ratio", False)
        plain = all(_PLAIN.get(key) == value for key, value in options.items())
        if kind != "Resize" or resize is not None or not scale or not plain:
            raise UserError(
                f"config {cfg.filename or ''}: its test pipeline has {dict(step)}, which an "
                "exported file can't say; expected one Resize with scale and keep_ratio at most"
            )
        scale = (scale, scale) if isinstance(scale, int) else tuple(scale)
        resize = Resize(scale, bool(keep_ratio))
    return resize


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
