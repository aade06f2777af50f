"""The networks of a benchmark: a detector in several forms, precisions and layouts."""

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Optional

import torch
import torch._inductor.config as inductor
from mmcv.cnn.utils import fuse_conv_bn
from mmdet.models.detectors import BaseDetector, SingleStageDetector, TwoStageDetector
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from torch import nn

from ..checkpoints import Checkpoint, fit_model
from ..datasets.sample_images import prepare_array
from ..errors import UserError, prefix_errors
from ..models import deploy
from .random_weights import prepare_random_weights

_LAYOUTS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}


@dataclass
class Network:
    """A detector in float32, on the CPU.

    Attributes:
        config: Name of the detector's config.
        model: The detector, in evaluation mode.
        form: As in `Row`.
        checkpoint: File with the detector's weights, or None.
        missing: Tensors that are missing from the file.
        notes: Notes for the report, each a full sentence.
        prepare: The config's test pipeline, see `fuse` in `models.deploy`.
    """

    config: str
    model: nn.Module
    form: str
    checkpoint: Optional[str] = None
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    prepare: Optional[deploy.Prepare] = None


def load_network(name: str, cfg: Config, checkpoint: Optional[str], batch: dict) -> Network:
    """Build a config's detector, with weights from a file or random weights.

    Args:
        name: Name of the config.
        cfg: The config.
        checkpoint: The file, or None.
        batch: Images on which random weights are calibrated.

    Returns:
        The network as built: in form `training`, or `deploy` if the config sets it.

    Raises:
        UserError: The model can't be built, the file can't be read, or the file contains no
            tensor of this detector.
    """
    model_cfg = copy.deepcopy(cfg.model)
    _drop_pretrained(model_cfg)
    try:
        model = MODELS.build(model_cfg)
    except UserError:
        raise
    except Exception as error:  # constructors may raise almost any exception
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"config {cfg.filename}: the model can't be built ({type(error).__name__}: {reason})"
        ) from error
    if own := getattr(model, "weights_file", None):  # it has built its network from a file
        return Network(name, model.eval(), "training", own, prepare=partial(prepare_array, cfg))
    if not isinstance(model, (SingleStageDetector, TwoStageDetector)):
        raise UserError(
            f"config {cfg.filename}: the model is a {type(model).__name__}, expected one "
            "of MMDetection's single-stage or two-stage detectors"
        )
    model = revert_sync_batchnorm(model).eval()
    form = "deploy" if getattr(model.backbone, "deploy", False) else "training"
    network = Network(name, model, form, checkpoint, prepare=partial(prepare_array, cfg))
    if checkpoint is None:
        with quiet():
            model.init_weights()
        note = prepare_random_weights(model, batch)
        network.notes += [f"{name}: {note}"] if note else []
        return network
    with prefix_errors(f"--weights {checkpoint}"):
        match = fit_model(model, Checkpoint.read(checkpoint), "benchmark")
    network.missing = [*match.missing, *match.misshapen]
    return network


def _drop_pretrained(node: Any) -> None:
    """Remove pretrained weights from a model's config, because their files may be missing."""
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
def quiet() -> Iterator[None]:
    """Keep MMEngine from logging each initialised tensor."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def fuse(network: Network) -> Network:
    """Return a network in its deployed form.

    Modules with a deployed form are switched to it; the BatchNorms of other backbones and necks
    are folded into their convolutions.

    Args:
        network: The network; it is not changed.

    Returns:
        A fused copy, or the network itself in form `only` if nothing can be fused.

    Raises:
        UserError: A network can't be fused, such as a VanillaNet with lambda below 1.
        RuntimeError: The fused features differ from the original features.
    """
    if network.form == "deploy":
        return network
    with prefix_errors(network.checkpoint or network.config):
        fused, _, unchecked = deploy.fuse(
            network.model, network.config, fold=_fold_batch_norms, prepare=network.prepare
        )
    if sum(1 for _ in fused.parameters()) == sum(1 for _ in network.model.parameters()):
        return replace(network, form="only")
    notes = [*network.notes, *([f"{network.config}: {unchecked}."] if unchecked else [])]
    return replace(network, model=fused, form="deploy", notes=notes)


def _fold_batch_norms(detector: nn.Module) -> None:
    """Fold the BatchNorms of a detector's backbone and neck into their convolutions, in place."""
    # Heads are left out: some share a convolution across levels, with a BatchNorm for each level.
    head = detector.bbox_head if getattr(detector, "folds_head", False) else None
    for part in (detector.backbone, getattr(detector, "neck", None), head):
        if part is not None:
            fuse_conv_bn(part)


def set_layout(model: nn.Module, layout: str) -> None:
    """Convert the kernels of a model to a memory layout, in place; features adopt this layout."""
    model.to(memory_format=_LAYOUTS[layout])


def compile_parts(model: nn.Module, device: torch.device) -> None:
    """Compile a classifier, or a detector's backbone, neck and heads, in place, at the first call.

    On CPUs the weights are frozen, so that the compiler can choose their layout in advance.
    """
    # As an option of `compile`, this would come too late: weights would already be inputs.
    inductor.freezing = device.type == "cpu"
    if not isinstance(model, BaseDetector):
        model.compile()
        return
    roi_head = getattr(model, "roi_head", None)
    for owner in filter(None, (model, roi_head)):
        for name in ("backbone", "neck", "rpn_head", "bbox_head", "mask_head"):
            module = getattr(owner, name, None)
            for part in module if isinstance(module, nn.ModuleList) else [module]:
                if isinstance(part, nn.Module):
                    part.compile()
