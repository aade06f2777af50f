"""Builds the model config of a fine-tuning run from weights and classes."""

import copy
from collections.abc import Iterator
from typing import Any, Optional

from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict

from ..analysis.meta import build_on_meta
from ..configs import type_name
from ..errors import UserError
from ..installation import command
from ..models.backbones.base import Backbone
from .start import Start


def make_model(
    template: Config,
    start: Start,
    num_classes: int,
    network: Optional[dict[str, Any]] = None,
    freeze: int = -1,
    merged: bool = False,
) -> ConfigDict:
    """Build a model config for the classes of a dataset.

    Args:
        template: Config of a detector; its model is used unless the weights include a model config.
        start: The weights to start from.
        num_classes: Number of classes.
        network: Type and arguments of the backbone; if None, that of the weights or the template.
        freeze: Last backbone stage to freeze: 0 for the stem, -1 to freeze nothing.
        merged: Whether to train VanillaNet's merged form.

    Raises:
        UserError: The weights, backbone and template don't match.
    """
    own = start.model
    model = copy.deepcopy(own or template_model(template))
    if not model.get("backbone"):
        raise UserError(
            f"--weights {start.path}: its model, {model.get('type')}, has no backbone config; use "
            "the weights of another detector"
        )
    is_ours = issubclass(_class_of(model.backbone), Backbone)
    if is_ours and own is None:
        _set_backbone(model, network or start.network, f"--model {template.filename}")
    elif network is not None and not _has(model.backbone, network):
        has = _named(model.backbone) if is_ours else "another backbone"
        where = f"--weights {start.path}" if own else "--model"
        raise UserError(
            f"--backbone {_named(network)}: the model of {where} has {has}; omit --backbone"
        )
    backbone = model.backbone
    backbone.init_cfg = None
    if start.kind == "backbone":
        if not is_ours:
            raise UserError(
                f"--weights {start.path}: contains a {start.backbone.kind}, but the "
                f"backbone is {backbone.get('type')}; pass another --model"
            )
        backbone.init_cfg = ConfigDict(type="Pretrained", checkpoint=start.path)
    if start.kind == "nothing":  # random layers must be trained
        for key, value in (("frozen_stages", -1), ("norm_eval", False)):
            if key in backbone:
                backbone[key] = value
    if freeze >= 0:
        if start.kind == "nothing":
            raise UserError(
                f"--freeze {freeze}: requires --weights, since frozen random layers never learn; "
                "pass --weights, or omit --freeze"
            )
        backbone.frozen_stages = freeze
    if is_ours:
        _set_form(backbone, start, merged)
    for node in _nodes(model):
        if "num_classes" in node:
            node.num_classes = num_classes
    try:
        build_on_meta(model)
    except UserError:
        raise
    except Exception as error:  # constructors raise almost any exception
        whose = f"--weights {start.path}" if own else f"--model {template.filename}"
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"{whose}: its model can't be built here ({type(error).__name__}: {reason}); pass "
            "another --model"
        ) from error
    return model


def template_model(template: Config) -> ConfigDict:
    """Return the model of a detector's config.

    Raises:
        UserError: The config has no model, or the model has no backbone config.
    """
    model = template.get("model")
    if not isinstance(model, dict) or not model.get("backbone"):
        raise UserError(
            f"--model {template.filename}: has no model with a backbone config; expected a "
            "detector's config"
        )
    return model


def anchor_generator(model: dict) -> Optional[dict]:
    """Return the anchor generator of RetinaNet's head or the RPN, or None if there is none."""
    for key in ("bbox_head", "rpn_head"):
        head = model.get(key)
        generator = head.get("anchor_generator") if isinstance(head, dict) else None
        if generator and generator.get("type") == "AnchorGenerator":
            return generator
    return None


def has_masks(model: dict) -> bool:
    """Return whether a model predicts masks."""
    heads = [model, *(model.get(name) or {} for name in ("roi_head", "bbox_head"))]
    return any(head.get("mask_head") or head.get("loss_mask") for head in heads)


def _class_of(backbone: dict) -> type:
    """Return the class of a backbone's config; `object` for one that isn't registered."""
    kind = backbone.get("type")
    kind = MODELS.get(kind) if isinstance(kind, str) else kind
    return kind if isinstance(kind, type) else object


def _has(backbone: dict, network: dict[str, Any]) -> bool:
    """Return whether a backbone config has the type and arguments of a network."""
    defaults = dict(arch="11", depth=50)
    return all(backbone.get(key, defaults.get(key)) == network[key] for key in network)


def _named(network: dict[str, Any]) -> str:
    """Return the name of a backbone, such as `vanillanet11`."""
    number = network.get("depth", 50) if network["type"] == "GResNet" else network.get("arch", "11")
    return f"{network['type'].lower()}{number}"


def _set_backbone(model: ConfigDict, network: Optional[dict[str, Any]], whose: str) -> None:
    """Set the backbone's type and arguments, and adapt the neck's input channels."""
    before = model.backbone
    if network is None or _has(before, network):
        return
    neck = model.get("neck")
    neck = neck[0] if isinstance(neck, (list, tuple)) else neck
    if not isinstance(neck, dict) or "in_channels" not in neck:
        raise UserError(
            f"{whose}: has the backbone {_named(before)}, which can't be changed to "
            f"{_named(network)}, since there is no neck with in_channels; use the config of a "
            "detector with this backbone"
        )
    norm = type_name(before.get("norm_cfg") or dict(type="BN"))
    kept = before if before.type == network["type"] else dict(norm_cfg=dict(type=norm))
    model.backbone = ConfigDict({**kept, **network})
    given = before.get("out_indices") or build_on_meta(before).out_indices
    model.backbone.pop("out_indices", None)
    every = build_on_meta(model.backbone).out_indices
    if len(given) < len(every):
        model.backbone.out_indices = every[-len(given) :]  # RetinaNet starts at stride 8
    neck["in_channels"] = list(build_on_meta(model.backbone).out_channels)


def _set_form(backbone: ConfigDict, start: Start, merged: bool) -> None:
    form = start.backbone.form if start.backbone else "training"
    can_merge = hasattr(_class_of(backbone), "switch_to_merged")
    if merged and not can_merge:
        raise UserError(f"--merged: {backbone.type} has no merged form; omit it")
    if merged and start.kind == "nothing":
        raise UserError(
            "--merged: requires --weights, since the merged form learns less than the training "
            "form from random weights; pass --weights, or omit --merged"
        )
    if merged and start.kind == "detector" and form == "training":
        raise UserError(
            f"--merged: {start.path} is in the training form; merge the file first "
            f"({command('convert-checkpoint')} {start.path} MERGED_FILE --merge), and pass the "
            "merged file as --weights"
        )
    backbone.pop("deploy", None)
    if can_merge:
        backbone.merged = merged or form == "merged"


def _nodes(node: Any) -> Iterator[ConfigDict]:
    if isinstance(node, dict):
        yield node
    children = node.values() if isinstance(node, dict) else node
    for child in children if isinstance(node, (dict, list, tuple)) else ():
        yield from _nodes(child)
