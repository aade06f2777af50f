"""The networks of a benchmark: a detector in its forms, precisions and layouts."""

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Optional

import torch
import torch._inductor.config as inductor
from mmcv.cnn.utils import fuse_conv_bn
from mmdet.models.detectors import SingleStageDetector, TwoStageDetector
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from torch import nn

from ..checkpoints import Checkpoint, fit_model
from ..errors import UserError, prefix_errors
from ..models import deploy
from .random_weights import prepare_random_weights

_LAYOUTS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}


@dataclass
class Network:
    """A detector in float32, on the CPU.

    Attributes:
        config: Name of its config.
        model: The detector, in evaluation mode.
        form: As in `Row`.
        checkpoint: File of its weights, or None.
        missing: Tensors that the file lacks.
        notes: Whole sentences to know.
    """

    config: str
    model: nn.Module
    form: str
    checkpoint: Optional[str] = None
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def load_network(name: str, cfg: Config, checkpoint: Optional[str], batch: dict) -> Network:
    """Build a config's detector, with weights of a file or random ones.

    Args:
        name: Name of the config.
        cfg: The config.
        checkpoint: The file, or None.
        batch: Images, by which random weights are set.

    Returns:
        The network as it is built, in form `training`.

    Raises:
        UserError: The model can't be built, the file can't be read, or it holds nothing of this
            detector.
    """
    model_cfg = copy.deepcopy(cfg.model)
    _drop_pretrained(model_cfg)
    try:
        model = MODELS.build(model_cfg)
    except UserError:
        raise
    except Exception as error:  # constructors assert, and raise nearly anything
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"config {cfg.filename}: the model can't be built ({type(error).__name__}: {reason})"
        ) from error
    if not isinstance(model, (SingleStageDetector, TwoStageDetector)):
        raise UserError(
            f"config {cfg.filename}: {type(model).__name__}; expected a detector with one or "
            "two stages of MMDetection"
        )
    model = revert_sync_batchnorm(model).eval()
    form = "deploy" if getattr(model.backbone, "deploy", False) else "training"
    network = Network(name, model, form, checkpoint)
    if checkpoint is None:
        with _quiet():
            model.init_weights()
        note = prepare_random_weights(model, batch)
        network.notes += [f"{name}: {note}"] if note else []
        return network
    with prefix_errors(f"--weights {checkpoint}"):
        match = fit_model(model, Checkpoint.read(checkpoint), "benchmark")
    network.missing = [*match.missing, *match.misshapen]
    return network


def _drop_pretrained(node: Any) -> None:
    """Take files of weights out of a model's config, which aren't there and aren't needed."""
    if isinstance(node, dict):
        init = node.get("init_cfg")
        if isinstance(init, dict) and init.get("type") == "Pretrained":
            node["init_cfg"] = None
        for value in node.values():
            _drop_pretrained(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            _drop_pretrained(value)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep MMEngine from logging each initialised tensor."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def fuse(network: Network) -> Network:
    """Bring a network into the form that is deployed.

    What has a deployed form of its own is switched to it; the BatchNorms of other backbones and
    necks are folded into their convolutions.

    Args:
        network: The network; it stays as it is.

    Returns:
        A fused copy, or the network itself in form `only` where nothing can be fused.

    Raises:
        UserError: A network refuses, as VanillaNet does while lambda is below 1.
        RuntimeError: The fused features differ.
    """
    if network.form == "deploy":
        return network
    with prefix_errors(network.checkpoint or network.config):
        fused, _ = deploy.fuse(network.model, network.config, fold=_fold_batch_norms)
    if sum(1 for _ in fused.parameters()) == sum(1 for _ in network.model.parameters()):
        return replace(network, form="only")
    return replace(network, model=fused, form="deploy")


def _fold_batch_norms(detector: nn.Module) -> None:
    """Fold the BatchNorms of a detector's backbone and neck into their convolutions, in place."""
    # Not the heads': some share a convolution between levels with a BatchNorm for each.
    for part in (detector.backbone, getattr(detector, "neck", None)):
        if part is not None:
            fuse_conv_bn(part)


def set_layout(model: nn.Module, layout: str) -> None:
    """Lay the kernels of a model out, in place; features follow."""
    model.to(memory_format=_LAYOUTS[layout])


def compile_parts(model: nn.Module, device: torch.device) -> None:
    """Have torch.compile make backbone, neck and heads at their first call, in place.

    On CPUs the weights are frozen, which lets the compiler lay them out in advance.
    """
    # Not an option of `compile`, which comes too late to keep weights from being inputs.
    inductor.freezing = device.type == "cpu"
    roi_head = getattr(model, "roi_head", None)
    for owner in filter(None, (model, roi_head)):
        for name in ("backbone", "neck", "rpn_head", "bbox_head", "mask_head"):
            module = getattr(owner, name, None)
            for part in module if isinstance(module, nn.ModuleList) else [module]:
                if isinstance(part, nn.Module):
                    part.compile()
