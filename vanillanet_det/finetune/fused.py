"""Fused checkpoints that contain everything a detector needs."""

import copy
from pathlib import Path
from typing import Union

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from ..checkpoints import Checkpoint, model_state_dict
from ..checkpoints.checkpoint import below
from ..checkpoints.reading import load_safely, read_ahead
from ..datasets.pipeline import find_test_dataset, is_loader
from ..errors import UserError
from ..fileio import atomic_write, without_folders
from ..inference.building import ConfigLike, build_detector, set_form
from ..inference.model_config import config_text

# The last two are texts of MMDetection 2 about the machine.
_OF_THE_TRAINING = ("epoch", "iter", "config", "env_info")


def save_fused(config: ConfigLike, checkpoint: Union[str, Path], target: Union[str, Path]) -> str:
    """Write a detector's fused checkpoint, which can be used without any other file.

    It works with `load_detector(target)`, with MMDetection's `DetInferencer(weights=target)` after
    `import vanillanet_det`, and with `vanillanet-det test` and `model.backbone.deploy=True`. The
    fused features are compared with the source's features, and the file is read back before it
    replaces the target. Of absolute paths in the config, only the last parts are kept.

    Args:
        config: The detector's config, or its config file.
        checkpoint: The detector's checkpoint, in any network form.
        target: The file to write or replace.

    Returns:
        A report of the written file.

    Raises:
        UserError: The checkpoint doesn't fit the config, the detector can't be fused, or the
            target can't be written.
    """
    source = Checkpoint(str(checkpoint), read_ahead(checkpoint))  # build_detector reads it next
    fused, cfg, classes = build_detector(checkpoint, config)
    state = fused.state_dict()
    meta = {k: v for k, v in source.meta.items() if k not in _OF_THE_TRAINING}
    meta = without_folders(meta)
    meta["dataset_meta"] = {"classes": classes, **(meta.get("dataset_meta") or {})}
    meta["cfg"] = config_text(_deployable(cfg, fused, classes))
    try:
        with atomic_write(target) as file:
            torch.save(dict(meta=meta, state_dict=state), file)
            file.seek(0)
            written = model_state_dict(load_safely(file))
            if not all(torch.equal(written[name], tensor) for name, tensor in state.items()):
                raise UserError(f"{target}: not written, because it reads back differently")
    except OSError as error:
        raise UserError(f"{target}: can't be written ({error.strerror or error})") from error
    size = Path(target).stat().st_size / 1e6
    return f"{target}: deployed form of {checkpoint}, {len(state)} tensors, {size:.1f} MB"


def _deployable(cfg: Config, fused: nn.Module, classes: tuple[str, ...]) -> Config:
    """Return the config of the fused detector, which also works with MMDetection's inferencer."""
    cfg = copy.deepcopy(cfg)
    with DefaultScope.overwrite_default_scope("mmdet"):
        set_form(cfg.model.backbone, below(fused.state_dict(), "backbone"))
    dataset = find_test_dataset(cfg)
    for step in dataset.get("pipeline", []):
        if is_loader(step):
            # The inferencer looks for this name to replace the step.
            step.type = "LoadImageFromFile"
            step.pop("unreadable", None)
    if dataset:
        dataset.metainfo = {**(dataset.get("metainfo") or {}), "classes": classes}
    return Config(without_folders(cfg.to_dict()))
