"""Checks that a detector can be exported: every post-processing step must be known."""

import importlib.util
from collections.abc import Sequence
from typing import Any

import torch
from mmcv.ops import RoIAlign
from mmdet.models.dense_heads import AnchorHead, RPNHead, RTMDetInsHead, YOLOXHead
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.models.detectors import CascadeRCNN, FasterRCNN, MaskRCNN, SingleStageDetector
from mmdet.models.roi_heads import CascadeRoIHead, StandardRoIHead
from mmdet.models.roi_heads.bbox_heads.bbox_head import BBoxHead
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder, DistancePointBBoxCoder
from torch import nn

from ..errors import UserError
from ..installation import install_command

_MIN_TORCH = (2, 6)  # the first whose exporter accepts translations of custom operators
_REMEDY = "export the backbone with --part backbone, or another detector"
_DENSE = ("predict", "predict_by_feat", "_predict_by_feat_single", "_bbox_post_process")
_INSTANCES = (
    *("predict", "predict_by_feat", "_predict_by_feat_single", "_bbox_mask_post_process"),
    *("_mask_predict_by_feat_single", "parse_dynamic_params"),
)
_BOX = ("predict_by_feat", "_predict_by_feat_single", "regress_by_class")


def check_packages(flags: str, needed: Sequence[str], extra: str = "export") -> None:
    """Check that the packages for an export are installed.

    Args:
        flags: The flags that need them, for messages.
        needed: Required packages besides PyTorch.
        extra: Extra of this project that installs them.

    Raises:
        UserError: A package is missing, or PyTorch is too old.
    """
    if tuple(map(int, torch.__version__.split(".")[:2])) < _MIN_TORCH:
        raise UserError(
            f"PyTorch {torch.__version__}: its exporter lacks custom operators; expected "
            f"{_MIN_TORCH[0]}.{_MIN_TORCH[1]} or newer; export in another environment if "
            "a compiled mmcv needs this one, else: pip install -U torch torchvision"
        )
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"{flags}: needs {', '.join(missing)}: {install_command(f'lite,{extra}')}")


def check_support(detector: nn.Module, nms: bool = True) -> None:
    """Check that an exported detector would return MMDetection's results.

    Args:
        detector: The detector.
        nms: Whether the file includes non-maximum suppression.

    Raises:
        UserError: A component differs from those of RetinaNet, RTMDet, RTMDet-Ins, YOLOX and
            Faster, Mask or Cascade R-CNN, or `nms` is False for a detector that needs it.
    """
    if type(detector) in (FasterRCNN, MaskRCNN, CascadeRCNN):
        if not nms:
            raise UserError(
                f"--no-nms: {type(detector).__name__} needs non-maximum suppression between its "
                "stages; omit --no-nms"
            )
        _check_dense(detector.rpn_head, RPNHead, scores=False)
        _check_roi_head(detector.roi_head)
    elif isinstance(detector, SingleStageDetector) and isinstance(
        detector.bbox_head, RTMDetInsHead
    ):
        if not nms:
            raise UserError(
                "--no-nms: RTMDet-Ins draws the masks of what non-maximum suppression keeps; omit "
                "--no-nms"
            )
        _check_instances(detector.bbox_head)
    elif isinstance(detector, SingleStageDetector) and isinstance(detector.bbox_head, AnchorHead):
        _check_dense(detector.bbox_head, BaseDenseHead, scores=True)
    elif isinstance(detector, SingleStageDetector) and isinstance(detector.bbox_head, YOLOXHead):
        _check_yolox(detector.bbox_head)
    else:
        raise UserError(
            f"{type(detector).__name__}: can't be exported; expected RetinaNet, RTMDet, YOLOX or "
            f"another detector with an AnchorHead, FasterRCNN, MaskRCNN or CascadeRCNN; {_REMEDY}"
        )


def _check_instances(head: RTMDetInsHead) -> None:
    known = all(_same(head, RTMDetInsHead, name) for name in _INSTANCES)
    _expect(head, known, "custom post-processing")
    _expect(head, head.use_sigmoid_cls, "softmax scores")
    _check_coder(head, DistancePointBBoxCoder)
    _check_test_cfg(head, head.test_cfg, ("nms_pre", "max_per_img"))
    _check_threshold(head, head.test_cfg)
    _check_threshold(head, head.test_cfg, "mask_thr_binary")
    _check_box_size(head)


def _check_box_size(head: nn.Module) -> None:
    if head.test_cfg.get("min_bbox_size", -1) > 0:
        # This size is in pixels of the original image, whose size the file doesn't know.
        _refuse_value(head, head.test_cfg, "min_bbox_size", "0 or -1")


def _check_dense(head: nn.Module, like: type, scores: bool) -> None:
    _expect(head, all(_same(head, like, name) for name in _DENSE), "custom post-processing")
    _expect(head, head.use_sigmoid_cls, "softmax scores")
    _expect(head, not getattr(head.loss_cls, "custom_cls_channels", False), "custom class channels")
    _expect(head, _count_outputs(head) == 2, "more outputs than scores and boxes")
    _check_coder(head, *([DistancePointBBoxCoder] if scores else []))
    _check_test_cfg(head, head.test_cfg, ("nms_pre", "max_per_img"))
    if scores:
        _check_threshold(head, head.test_cfg)
        _check_box_size(head)


def _check_yolox(head: YOLOXHead) -> None:
    names = ("predict", "predict_by_feat", "_bbox_decode", "_bbox_post_process")
    known = all(_same(head, YOLOXHead, name) for name in names)
    _expect(head, known, "custom post-processing")
    _check_test_cfg(head, head.test_cfg, ("max_per_img",))
    _check_threshold(head, head.test_cfg)


def _count_outputs(head: nn.Module) -> int:
    like = next(head.parameters())
    feature = torch.zeros(1, head.in_channels, 4, 4, dtype=like.dtype, device=like.device)
    with torch.no_grad():
        return len(head([feature] * len(head.prior_generator.strides)))


def _check_roi_head(head: nn.Module) -> None:
    _expect(head, type(head) in (StandardRoIHead, CascadeRoIHead), "custom stages")
    _expect(head, not head.with_shared_head, "a shared head")
    for box, extractor in stages(head.bbox_head, head.bbox_roi_extractor):
        _expect(box, all(_same(box, BBoxHead, name) for name in _BOX), "custom post-processing")
        _expect(box, not box.custom_cls_channels, "custom class channels")
        _expect(box, box.with_cls and box.with_reg, "no classes or no boxes")
        _check_coder(box)
        _check_extractor(extractor)
        _check_test_cfg(box, head.test_cfg, ("max_per_img",))
        _check_threshold(box, head.test_cfg)
    if head.with_mask:
        for mask, extractor in stages(head.mask_head, head.mask_roi_extractor):
            _expect(mask, type(mask) is FCNMaskHead, "custom masks")
            _check_extractor(extractor)
            _check_threshold(mask, head.test_cfg, "mask_thr_binary")


def stages(heads: nn.Module, extractors: nn.Module) -> list[tuple[nn.Module, nn.Module]]:
    """Pair an RoI head's heads and extractors by stage; only a cascade has several."""
    if not isinstance(heads, nn.ModuleList):
        return [(heads, extractors)]
    return list(zip(heads, extractors))


def _check_extractor(extractor: nn.Module) -> None:
    known = type(extractor) is SingleRoIExtractor and all(
        isinstance(layer, RoIAlign) and layer.pool_mode == "avg" for layer in extractor.roi_layers
    )
    _expect(extractor, known, "custom RoI features")


def _check_coder(head: nn.Module, *others: type) -> None:
    kind = type(head.bbox_coder)
    _expect(head, kind in (DeltaXYWHBBoxCoder, *others), f"boxes encoded by {kind.__name__}")


def _check_test_cfg(head: nn.Module, cfg: Any, needed: tuple[str, ...]) -> None:
    for name in needed:
        if not (cfg.get(name) or -1) > 0:
            _refuse_value(head, cfg, name, "a number above 0")
    nms = dict(cfg.get("nms") or {})
    others = set(nms) - {"type", "iou_threshold", "split_thr"}
    known = nms.get("type", "nms") == "nms" and not others
    if not known or not 0 <= nms.get("iou_threshold", -1) <= 1:
        raise UserError(
            f"test_cfg of {type(head).__name__}: nms is {nms}; expected type nms with only "
            "an iou_threshold; change the config"
        )


def _check_threshold(head: nn.Module, cfg: Any, name: str = "score_thr") -> None:
    if not 0 <= cfg.get(name, -1) <= 1:
        _refuse_value(head, cfg, name, "a number from 0 to 1")


def _refuse_value(head: nn.Module, cfg: Any, name: str, expected: str) -> None:
    raise UserError(
        f"test_cfg of {type(head).__name__}: {name} is {cfg.get(name)!r}; expected {expected}; "
        "set it in the config"
    )


def _same(module: nn.Module, base: type, name: str) -> bool:
    return getattr(type(module), name) is getattr(base, name)


def _expect(module: nn.Module, known: bool, what: str) -> None:
    if not known:
        raise UserError(f"{type(module).__name__}: has {what}, which can't be exported; {_REMEDY}")
