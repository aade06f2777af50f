"""What stands at the end of a fine-tuning: a fused checkpoint, and a report of what it learned."""

import json
import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from mmengine.config import Config

from ..apis.test import test
from ..checkpoints import find_resume
from ..report import read_curves, write_report
from .fused import save_fused
from .model import has_masks
from .prepare import say

_FUSED, _REPORT = "deployed.pth", "report.html"
# Of the facts; MMEngine writes a config in alphabetical order.
_ORDER = (
    *("data", "form", "classes", "model", "weights", "pictures", "anchors"),
    *("epochs", "batch size", "learning rate", "best checkpoint"),
)


def write_finetune_report(
    config: Path, best: Optional[str], where: Path, compare: Sequence[str] = ()
) -> None:
    """Fuse the best checkpoint, evaluate it, and write the report.

    Args:
        config: Config of the fine-tuning.
        best: Its best checkpoint; None for the newest one.
        where: Its folder, which all is written to.
        compare: Folders of other trainings to draw in the curves.
    """
    cfg = Config.fromfile(config)
    checkpoint = best or str(find_resume(where))
    last = checkpoint
    if cfg.model.backbone.type == "VanillaNet":  # first: it is what the training was for
        last = where / _FUSED
        save_fused(str(config), checkpoint, str(last))
    metrics, detections = _detect(cfg, config, checkpoint, where)
    names = [where.name, *(Path(other).resolve().name for other in compare)]
    if len(set(names)) < len(names):
        names = [str(where), *map(str, compare)]
    curves = {name: read_curves(folder) for name, folder in zip(names, [where, *compare])}
    write_report(
        where / _REPORT,
        title=f"Fine-tuning on {Path(cfg.finetune.data).name}",
        truth=json.loads(Path(cfg.val_evaluator.ann_file).read_bytes()),
        detections=detections,
        root=Path(cfg.val_dataloader.dataset.data_prefix.img),
        curves=curves,
        facts=[(key.capitalize(), str(value)) for key, value in _facts(cfg, checkpoint).items()],
    )
    figures = ", ".join(
        f"{kind} AP {metrics[f'coco/{kind}_mAP']:.3f}"
        for kind in ("bbox", "segm")
        if f"coco/{kind}_mAP" in metrics
    )
    say(
        f"{figures or 'Nothing found'}, evaluated on {cfg.val_evaluator.ann_file}\n"
        f"What it learned: {where / _REPORT}\n"
        f"To use: {last}\n"
        f"Detect: python tools/infer.py {shlex.quote(str(last))} PICTURES --out FOLDER"
    )


def _detect(cfg: Config, config: Path, checkpoint: str, where: Path) -> tuple[dict, list]:
    """Evaluate the fused model, and keep its detections."""
    with tempfile.TemporaryDirectory() as folder:
        prefix = f"{folder}/found"
        metrics = test(
            str(config),
            checkpoint,
            work_dir=str(where),
            cfg_options=[f"test_evaluator.outfile_prefix={prefix}"],
        )
        kind = "segm" if has_masks(cfg.model) else "bbox"
        # There is no file where nothing was found.
        file = Path(f"{prefix}.{kind}.json")
        return metrics, json.loads(file.read_bytes()) if file.is_file() else []


def _facts(cfg: Config, checkpoint: str) -> dict[str, Any]:
    facts = {**cfg.finetune, "model": cfg.model.type, "best checkpoint": Path(checkpoint).name}
    return {key: facts[key] for key in sorted(facts, key=_ORDER.index)}
