"""Writes the report of a fine-tuning run as a single HTML file."""

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from mmengine.config import Config

from ..fileio import without_folders
from ..report import Summary, read_curves, write_report
from .tiles import validation_images

# The order of the facts, since MMEngine sorts the keys of a config alphabetically.
_FACTS = (
    *(
        "data",
        "format",
        "classes",
        "model",
        "weights",
        "tiles",
        "input size",
        "anchors",
        "detections",
    ),
    *("epochs", "batch size", "learning rate", "best checkpoint"),
)
# Keys that configs of earlier versions use, and their current names.
_RENAMED = {"form": "format", "pictures": "input size"}


def write_finetune_report(
    cfg: Config,
    checkpoint: str,
    detections: Sequence[dict],
    work_dir: Path,
    compare: Sequence[str] = (),
) -> tuple[Path, Summary]:
    """Write `report.html` into a work dir.

    Args:
        cfg: Config of the run.
        checkpoint: The evaluated checkpoint.
        detections: The checkpoint's detections on the validation images, as COCO results.
        work_dir: Work dir of the run.
        compare: Work dirs of other runs, whose curves are drawn in the same charts.

    Returns:
        The path of the file, and what it says.

    Raises:
        UserError: The file can't be written.
    """
    names = [work_dir.name, *(Path(other).resolve().name for other in compare)]
    if len(set(names)) < len(names):
        runs = [Path(run).resolve() for run in (work_dir, *compare)]
        names = [os.path.relpath(run, os.path.commonpath(runs)) for run in runs]
    path = work_dir / "report.html"
    annotations, root = validation_images(cfg)
    summary = write_report(
        path,
        title=f"Fine-tuning on {Path(cfg.finetune.data).name}",
        truth=json.loads(annotations.read_bytes()),
        detections=detections,
        root=root,
        curves={name: read_curves(run) for name, run in zip(names, [work_dir, *compare])},
        facts=_facts(cfg, checkpoint),
        input_size=_input_size(cfg),
        longer=_longer(cfg),
    )
    return path, summary


def _longer(cfg: Config) -> str:
    limit = (cfg.get("default_hooks") or {}).get("time_limit")
    if limit is not None:
        return f"--resume --minutes {math.ceil(limit.seconds / 60)}"
    epochs = (cfg.get("train_cfg") or {}).get("max_epochs")
    if not epochs:
        return ""
    # Ultralytics can't go on with a run that has ended.
    how = "--work-dir ANOTHER" if "yolo" in cfg.finetune else "--resume"
    return f"{how} --epochs {2 * epochs}"


def _input_size(cfg: Config) -> Optional[tuple[int, int]]:
    if "uncut" in cfg.finetune:
        return None
    steps = cfg.val_dataloader.dataset.get("pipeline") or ()
    return next((tuple(step.scale) for step in steps if step.type == "Resize"), None)


def _facts(cfg: Config, checkpoint: str) -> list[tuple[str, str]]:
    record = {_RENAMED.get(key, key): value for key, value in cfg.finetune.items()}
    facts = {**record, "model": cfg.model.type, "best checkpoint": Path(checkpoint).name}
    facts = without_folders(facts)
    return [(key.capitalize(), str(facts[key])) for key in _FACTS if key in facts]
