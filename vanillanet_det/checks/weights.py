"""Checks whether the checkpoints that a model starts from exist and fit the model."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, Optional

from mmengine.config import Config
from mmengine.model import BaseModule
from torch import nn

from ..checkpoints import Checkpoint, fit_model, fit_part
from ..checkpoints.reading import read_ahead
from ..errors import UserError
from .datasets import is_remote
from .finding import ERROR, Finding


def check_weights(cfg: Config, model: Optional[nn.Module]) -> list[Finding]:
    """Check the weights that a model starts from.

    Args:
        cfg: The config.
        model: The config's model on the meta device; None checks only that the files exist.
    """
    findings = []
    for key, init_cfg in _pretrained(cfg.get("model"), "model"):
        path = str(init_cfg["checkpoint"])
        if is_remote(path):
            continue
        if not Path(path).expanduser().is_file():
            message = (
                f"{key}.checkpoint: {path} is missing. Save the published weights there, use "
                f"another file with --cfg-options {key}.checkpoint=FILE, or train from random "
                f"weights with --cfg-options {key}=None"
            )
            findings.append(Finding(ERROR, "weights-missing", message))
        elif model is not None:
            findings += _complaints(f"{key}.checkpoint: {path}", _fit_part, model, key, init_cfg)
    start = cfg.get("load_from")
    if start and not is_remote(str(start)) and not cfg.get("resume"):
        if not Path(start).expanduser().is_file():
            message = f"load_from: {start} is missing; set it to another file, or to None"
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
    fit_model(model, _read(path), "train")


def _fit_part(model: nn.Module, key: str, init_cfg: dict) -> None:
    """Compare a checkpoint with the module that loads it, if the module can be found."""
    name = key.split(".init_cfg")[0].partition(".")[2]
    try:
        module = model.get_submodule(name)
    except AttributeError:
        return
    # A module with its own `init_weights` may rename tensors in its own way.
    if hasattr(module, "adapt_state_dict") or type(module).init_weights is BaseModule.init_weights:
        fit_part(module, _read(init_cfg["checkpoint"]), init_cfg.get("prefix"))


def _read(path: str) -> Checkpoint:
    # The run reads the same file next.
    return Checkpoint(str(path), read_ahead(path))


def _pretrained(node: Any, key: str) -> Iterator[tuple[str, dict]]:
    if isinstance(node, dict):
        if node.get("type") == "Pretrained" and "checkpoint" in node:
            yield key, node
        for name, child in node.items():
            yield from _pretrained(child, f"{key}.{name}")
    elif isinstance(node, (list, tuple)):
        for index, child in enumerate(node):
            yield from _pretrained(child, f"{key}.{index}")
