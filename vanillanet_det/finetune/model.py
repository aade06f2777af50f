"""Builds the model config of a fine-tuning run from weights and classes."""

import copy
from collections.abc import Iterator
from typing import Any, Optional

from mmengine.config import Config, ConfigDict

from ..analysis.meta import build_on_meta
from ..errors import UserError
from ..installation import command
from ..models.backbones.archs import resolve_arch
from .start import Start


def make_model(
    template: Config,
    start: Start,
    num_classes: int,
    arch: Optional[str] = None,
    freeze: int = -1,
    merged: bool = False,
) -> ConfigDict:
    """Build a model config for the classes of a dataset.

    Args:
        template: Config of a detector; its model is used unless the weights include a model config.
        start: The weights to start from.
        num_classes: Number of classes.
        arch: Published arch of VanillaNet; if None, the arch of the weights or the template.
        freeze: Last backbone stage to freeze: 0 for the stem, -1 to freeze nothing.
        merged: Whether to train VanillaNet's merged form.

    Raises:
        UserError: The weights, arch and template don't match.
    """
    own = start.model
    model = copy.deepcopy(own or template_model(template))
    if not model.get("backbone"):
        raise UserError(
            f"--weights {start.path}: its model, {model.get('type')}, has no backbone config; use "
            "the weights of another detector"
        )
    backbone = model.backbone
    is_vanillanet = backbone.get("type") == "VanillaNet"
    if is_vanillanet and own is None:
        _set_arch(model, arch or start.arch, f"--model {template.filename}")
    elif arch is not None and backbone.get("arch") != arch:
        has = f"has the arch {backbone.get('arch')}" if is_vanillanet else "has another backbone"
        where = f"--weights {start.path}" if own else "--model"
        raise UserError(f"--backbone vanillanet{arch}: the model of {where} {has}; omit --backbone")
    backbone.init_cfg = None
    if start.kind == "backbone":
        if not is_vanillanet:
            raise UserError(
                f"--weights {start.path}: contains a VanillaNet, but the backbone is "
                f"{backbone.get('type')}; pass another --model"
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
    if is_vanillanet:
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


def _set_arch(model: ConfigDict, arch: Optional[str], whose: str) -> None:
    """Set VanillaNet's arch, and adapt the neck's input channels."""
    before = model.backbone.get("arch", "11")
    if arch is None or arch == before:
        return
    old, new = (resolve_arch(which).last_of_each_stride for which in (before, arch))
    neck = model.get("neck")
    neck = neck[0] if isinstance(neck, (list, tuple)) else neck
    if not isinstance(neck, dict) or "in_channels" not in neck:
        raise UserError(
            f"{whose}: has the arch {before}, which can't be changed to {arch}, since there is "
            f"no neck with in_channels; use the config of a detector with the arch {arch}"
        )
    out_indices = model.backbone.get("out_indices") or old
    features = new[len(old) - len(out_indices) :]  # RetinaNet starts at stride 8
    model.backbone.arch = arch
    if features == new:
        model.backbone.pop("out_indices", None)
    else:
        model.backbone.out_indices = features
    neck["in_channels"] = list(build_on_meta(model.backbone).out_channels)


def _set_form(backbone: ConfigDict, start: Start, merged: bool) -> None:
    form = start.backbone.form if start.backbone else "training"
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
    backbone.merged = merged or form == "merged"


def _nodes(node: Any) -> Iterator[ConfigDict]:
    if isinstance(node, dict):
        yield node
    children = node.values() if isinstance(node, dict) else node
    for child in children if isinstance(node, (dict, list, tuple)) else ():
        yield from _nodes(child)
