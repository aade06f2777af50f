"""Checks that the parts of a model match each other and the number of classes."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Optional

import torch
from mmengine.config import Config
from torch import Tensor, nn

from ..analysis.meta import build_on_meta
from .finding import ERROR, Finding

_HEADS = ("bbox_head", "mask_head", "mask_iou_head", "point_head")
_SIDE = 1024  # a multiple of all strides
_MAX_RATIO = 1.5  # of strides, which differ slightly if a network crops borders


def build_model(cfg: Config) -> Optional[nn.Module]:
    """Build a config's model on the meta device; return None if this isn't possible."""
    if not cfg.get("model"):
        return None
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        try:
            return build_on_meta(cfg.model).eval()
        except Exception:  # the runner builds the model again and reports the error
            return None


def check_model(model: nn.Module, num_classes: Optional[int], model_cfg: dict) -> list[Finding]:
    """Compare heads with the number of classes, and features with the modules that use them.

    Args:
        model: The model, on the meta device.
        num_classes: Number of classes; if None, the heads are not checked.
        model_cfg: Its config.
    """
    findings = [] if num_classes is None else list(_check_heads(model, num_classes))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return findings + list(_check_features(model, model_cfg))


def _check_heads(model: nn.Module, num_classes: int) -> Iterator[Finding]:
    if hasattr(model, "language_model"):  # the classes are prompts
        return
    for name, module in model.named_modules():
        path = name.split(".")
        if next((p for p in reversed(path) if not p.isdigit()), "") not in _HEADS:
            continue
        found = getattr(module, "num_classes", None)
        if isinstance(found, int) and found != num_classes and not _is_agnostic(module):
            yield Finding(
                ERROR,
                "num-classes",
                f"model.{name}.num_classes is {found}, but there are {num_classes} classes; set "
                f"model.{name}.num_classes={num_classes}",
            )


def _is_agnostic(head: nn.Module) -> bool:
    """Return whether a head only separates objects from background."""
    return getattr(head, "class_agnostic", False) or "RPN" in type(head).__name__


def _check_features(model: nn.Module, model_cfg: dict) -> Iterator[Finding]:
    backbone = getattr(model, "backbone", None)
    if backbone is None:
        return
    features = _run(backbone, torch.empty(1, 3, _SIDE, _SIDE, device="meta"))
    if features is None or not all(isinstance(feature, Tensor) for feature in features):
        return
    neck = getattr(model, "neck", None)
    if neck is not None:
        outputs = _run(neck, features)
        if outputs is None:
            yield from _misfit("model.neck", model_cfg["neck"], "the backbone", features)
            return
        features = outputs
    source = "the backbone" if neck is None else "the neck"
    for name in ("bbox_head", "rpn_head"):
        head = getattr(model, name, None)
        if head is None:
            continue
        if _run(head, features) is None:
            yield from _misfit(f"model.{name}", model_cfg[name], source, features)
        generator = getattr(head, "prior_generator", None)
        if type(generator).__name__ in ("AnchorGenerator", "MlvlPointGenerator"):
            key = "anchor_generator" if hasattr(generator, "base_anchors") else "strides"
            yield from _check_strides(
                f"model.{name}.{key}", [stride[0] for stride in generator.strides], source, features
            )
    yield from _check_roi_head(model, source, features)


def _check_roi_head(model: nn.Module, source: str, features: Sequence[Tensor]) -> Iterator[Finding]:
    for name, extractor in model.named_modules():
        if "semantic" in name or not hasattr(extractor, "featmap_strides"):
            continue
        strides = list(extractor.featmap_strides)
        used = features[: len(strides)]
        yield from _check_strides(f"model.{name}.featmap_strides", strides, source, used)
        channels = {feature.shape[1] for feature in used}
        # In some of MMDetection's extractors, this is a list.
        if isinstance(extractor.out_channels, int) and channels != {extractor.out_channels}:
            yield _channels_finding(
                f"model.{name}.out_channels", extractor.out_channels, source, channels
            )


def _run(module: nn.Module, *inputs: Any) -> Optional[tuple[Tensor, ...]]:
    """Run a module on the meta device; return None if it fails."""
    try:
        outputs = module(*inputs)
    except Exception:  # the module has other inputs or is misconfigured
        return None
    return (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)


def _misfit(key: str, cfg: Any, source: str, features: Sequence[Tensor]) -> Iterator[Finding]:
    """Report mismatched channels of a module that failed to run."""
    # The module's attribute may have another meaning: CTResNetNeck counts along its layers.
    expected = cfg.get("in_channels") if isinstance(cfg, dict) else None
    channels = [feature.shape[1] for feature in features]
    if isinstance(expected, int):
        # A neck may use a single feature; a head uses all features, with equal channels.
        if expected not in channels:
            yield _channels_finding(f"{key}.in_channels", expected, source, set(channels))
    elif isinstance(expected, (list, tuple)) and sorted(expected) != sorted(channels):
        yield _channels_finding(f"{key}.in_channels", list(expected), source, channels)


def _channels_finding(key: str, expected: Any, source: str, channels: Any) -> Finding:
    actual = channels if isinstance(channels, list) else ", ".join(map(str, sorted(channels)))
    message = f"{key} is {expected}, but the features of {source} have {actual} channels"
    return Finding(ERROR, "channels", f"{message}; set {key}={str(actual).replace(' ', '')}")


def _check_strides(
    key: str, strides: Sequence[int], source: str, features: Sequence[Tensor]
) -> Iterator[Finding]:
    actual = [round(_SIDE / feature.shape[-1]) for feature in features]
    if len(strides) == len(actual) and all(
        1 / _MAX_RATIO < a / b < _MAX_RATIO for a, b in zip(strides, actual)
    ):
        return
    yield Finding(
        ERROR,
        "strides",
        f"{key}: strides {list(strides)}, but the features of {source} have {actual}, so anchors "
        f"would be misplaced; set strides {actual}, or change the out_indices of the backbone",
    )
