"""Checkpoints that a model starts from: whether they are there, and whether they fit."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, Optional

from mmengine.config import Config
from mmengine.model import BaseModule
from torch import nn

from ..checkpoints import Match, model_state_dict, read_checkpoint
from ..checkpoints.matching import arch_in, backbone_state_dict, below, refuse_little
from ..errors import UserError
from .datasets import is_remote
from .finding import ERROR, Finding


def check_weights(cfg: Config, model: Optional[nn.Module]) -> list[Finding]:
    """Check the files of weights which a model starts from.

    Args:
        cfg: The config.
        model: Its model without data; None to look only whether the files are there.
    """
    findings = []
    for key, init_cfg in _pretrained(cfg.get("model"), "model"):
        path = str(init_cfg["checkpoint"])
        if is_remote(path):
            continue
        if not Path(path).expanduser().is_file():
            message = (
                f"{key}.checkpoint: {path} is missing. Put the published weights there, name "
                f"another file with --cfg-options {key}.checkpoint=FILE, or train from random "
                f"weights with --cfg-options {key}=None"
            )
            findings.append(Finding(ERROR, "weights-missing", message))
        elif model is not None:
            findings += _complaints(f"{key}.checkpoint: {path}", _fit_part, model, key, init_cfg)
    start = cfg.get("load_from")
    if start and not is_remote(str(start)) and not cfg.get("resume"):
        if not Path(start).expanduser().is_file():
            message = f"load_from: {start} is missing; name another file, or None to start anew"
            findings.append(Finding(ERROR, "weights-missing", message))
        elif model is not None:
            findings += _complaints(f"load_from: {start}", _fit_whole, model, str(start))
    return findings


def _complaints(where: str, function: Callable[..., None], *args: Any) -> list[Finding]:
    try:
        function(*args)
    except UserError as error:
        return [Finding(ERROR, "weights-fit", f"{where}: {error}")]
    return []


def _fit_whole(model: nn.Module, path: str) -> None:
    state = model_state_dict(read_checkpoint(path))
    match = _match(model, state)
    refuse_little(str(match), match)


def _fit_part(model: nn.Module, key: str, init_cfg: dict) -> None:
    """Compare a checkpoint with the module that it is for, if that is known."""
    name = key.split(".init_cfg")[0].partition(".")[2]
    path, prefix = str(init_cfg["checkpoint"]), init_cfg.get("prefix")
    try:
        module = model.get_submodule(name)
    except AttributeError:
        return
    checkpoint = read_checkpoint(path)
    if hasattr(module, "adapt_state_dict"):
        state = backbone_state_dict(checkpoint, prefix or "backbone.")
        match = Match.of(module.adapt_state_dict(state, arch_in(checkpoint)), module.state_dict())
    elif type(module).init_weights is BaseModule.init_weights:
        state = model_state_dict(checkpoint)
        if prefix:
            state = below(state, prefix)
        match = _match(module, state)
    else:
        return  # it renames tensors in its own way
    if not match.is_enough:
        raise UserError(f"{match}; expected at least 90%. Is it of this network?")


def _match(module: nn.Module, state: dict) -> Match:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nothing is copied into tensors without data
        return Match.by_loading(module, state)


def _pretrained(node: Any, key: str) -> Iterator[tuple[str, dict]]:
    if isinstance(node, dict):
        if node.get("type") == "Pretrained" and "checkpoint" in node:
            yield key, node
        for name, child in node.items():
            yield from _pretrained(child, f"{key}.{name}")
    elif isinstance(node, (list, tuple)):
        for index, child in enumerate(node):
            yield from _pretrained(child, f"{key}.{index}")
