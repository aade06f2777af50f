"""A file with everything that a detector needs, fused."""

import copy
from pathlib import Path
from typing import Union

from mmengine.config import Config

from ..apis.convert_checkpoint import convert_checkpoint
from ..checkpoints import read_checkpoint
from ..datasets.pipeline import find_test_dataset, is_loader
from ..inference.building import ConfigLike, find_classes, find_config, find_meta
from ..inference.model_config import config_text


def save_fused(config: ConfigLike, checkpoint: Union[str, Path], target: Union[str, Path]) -> str:
    """Write a detector's fused checkpoint, which needs no other file.

    `load_detector(target)` takes it, MMDetection's `DetInferencer(weights=target)` after
    `import vanillanet_det`, and `tools/test.py` with `model.backbone.deploy=True`. What was
    written is compared with the source before it takes its name.

    Args:
        config: The detector's config, or its file.
        checkpoint: Its checkpoint, in any form.
        target: The file to write or replace.

    Returns:
        A report of what was read and written, and of how far both are apart.

    Raises:
        UserError: The checkpoint isn't of a VanillaNet, lambda is below 1, or the target can't be
            written.
    """
    cfg = find_config(checkpoint, None, config)
    said = find_meta(read_checkpoint(checkpoint))
    classes = find_classes(said, cfg)
    meta = {
        "dataset_meta": {"classes": classes, **(said.get("dataset_meta") or {})},
        "cfg": config_text(deployable(cfg, classes)),
    }
    return convert_checkpoint(str(checkpoint), str(target), deploy=True, force=True, meta=meta)


def deployable(cfg: Config, classes: tuple[str, ...]) -> Config:
    """Change a config into that of the fused detector, for MMDetection's inferencer, too."""
    cfg = copy.deepcopy(cfg)
    cfg.model.backbone.update(deploy=True, merged=False)
    dataset = find_test_dataset(cfg)
    for step in dataset.get("pipeline", []):
        if is_loader(step):
            # The inferencer looks for this name, to put its own in the place.
            step.type = "LoadImageFromFile"
            step.pop("unreadable", None)
    if dataset:
        dataset.metainfo = {**(dataset.get("metainfo") or {}), "classes": classes}
    return cfg
