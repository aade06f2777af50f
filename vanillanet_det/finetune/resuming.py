"""Which runs can be resumed, and with which settings."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Optional

from ..checkpoints import find_resume, read_checkpoint
from ..engine.config import read_config
from ..errors import UserError
from ..installation import command
from .cost import extend
from .data import write_config
from .options import FinetuneOptions


def check_compared(folders: Sequence[str]) -> None:
    """Raise an error if a folder to compare with holds no run."""
    for folder in folders:
        if not any(Path(folder).glob("*/vis_data/*.json")):
            raise UserError(f"--compare {folder}: has no training log; expected a work dir")


def check_resumed(
    path: Path, data: Path, settings: FinetuneOptions, amp: Optional[str], dry_run: bool
) -> None:
    """Refuse to resume with other settings or another dataset, and make the run longer if asked."""
    if not path.is_file():
        raise UserError(f"--resume: no fine-tuning run in {path.parents[1]}; omit --resume")
    longer = dict(epochs=settings.epochs, minutes=settings.minutes)
    others = [f for f in fields(settings) if f.name not in longer]
    changed = [f.name for f in others if getattr(settings, f.name) != f.default]
    changed += ["amp"] if amp else []
    if changed:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in changed)
        raise UserError(f"--resume: uses the settings in {path}; omit {flags}")
    cfg = read_config(str(path))
    trained_on = (cfg.get("finetune") or {}).get("data")
    if trained_on is None:
        raise UserError(
            f"--resume: {path} doesn't specify its dataset (finetune.data); resume it with "
            f"{command('train')} {path} --work-dir {path.parents[1]} --resume"
        )
    if Path(trained_on).resolve() != data:
        raise UserError(f"--resume: the run in {path.parents[1]} uses {trained_on}, not {data}")
    if any(longer.values()) and "yolo" in cfg.finetune:
        flag = next(name for name, value in longer.items() if value)
        raise UserError(f"--{flag}: Ultralytics can't make a run longer; omit it")
    if any(longer.values()):
        last = find_resume(path.parents[1])
        done = 0 if last is None else read_checkpoint(last)["meta"]["epoch"]
        if settings.epochs is not None and settings.epochs < done:
            raise UserError(
                f"--epochs {settings.epochs}: the run has already {done}; expected more"
            )
        extend(cfg, **longer)
        if not dry_run:
            write_config(path, cfg)
