"""Training, as `tools/train.py` runs it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import Runner

from ..checkpoints import find_resume, read_checkpoint
from ..checkpoints.download import is_url
from ..errors import UserError
from .config import config_errors, load_config
from .data_check import check_data, check_weights
from .launch import init_distributed


def train(
    config: str,
    work_dir: Optional[str] = None,
    resume: Optional[str] = None,
    amp: bool = False,
    auto_scale_lr: bool = False,
    cfg_options: Sequence[str] = (),
    launcher: str = "none",
) -> None:
    """Train a detector.

    Args:
        config: The config file.
        work_dir: Folder for logs and checkpoints.
        resume: `auto` for the newest readable checkpoint in `work_dir`, or a checkpoint.
        amp: Train in mixed precision: float16 on an accelerator, bfloat16 on the CPU.
        auto_scale_lr: Scale the learning rate with the batch size.
        cfg_options: `key=value` pairs that override the config.
        launcher: Job launcher of distributed runs.

    Raises:
        UserError: Anything the user can mend: config, data, weights, checkpoint, folder.
    """
    cfg = load_config(config, work_dir, cfg_options, launcher)
    with config_errors(cfg):
        check_data(cfg, ("train_dataloader", "val_dataloader"))
        check_weights(cfg)
        if amp:
            _set_amp(cfg)
        if auto_scale_lr:
            _set_auto_scale_lr(cfg)
        _set_resume(cfg, resume)
        init_distributed(cfg)
        runner = Runner.from_cfg(cfg)
        runner.train()
    best = runner.message_hub.runtime_info.get("best_ckpt")
    if best is not None:
        print_log(
            f"Best checkpoint: {best}\nEvaluate it: python tools/test.py {config} {best}",
            logger="current",
        )


def _set_amp(cfg: Config) -> None:
    if torch.cuda.is_available():
        cfg.optim_wrapper.update(type="AmpOptimWrapper", loss_scale="dynamic")
    else:
        cfg.optim_wrapper.type = "Bf16OptimWrapper"


def _set_auto_scale_lr(cfg: Config) -> None:
    if not cfg.get("auto_scale_lr", {}).get("base_batch_size"):
        raise UserError(
            f"--auto-scale-lr: {cfg.filename} has no auto_scale_lr.base_batch_size, the batch "
            "size its learning rate is for; add auto_scale_lr=dict(base_batch_size=N)"
        )
    cfg.auto_scale_lr.enable = True


def _set_resume(cfg: Config, resume: Optional[str]) -> None:
    """Choose the checkpoint to go on from, and make sure that it can be read."""
    if resume is None and cfg.get("resume"):
        resume = cfg.get("load_from") or "auto"
    if resume is None:
        return
    if resume == "auto":
        path = find_resume(cfg.work_dir)
        if path is None:
            print_log(f"--resume: no checkpoint in {cfg.work_dir}; training starts anew", "current")
    else:
        path = resume
        try:
            read_checkpoint(path)
        except UserError as error:
            before = None if is_url(path) else find_resume(Path(path).parent)
            hint = f"; {before} can be read: --resume {before}" if before else ""
            raise UserError(f"{error}{hint}") from error
    cfg.resume = path is not None
    cfg.load_from = str(path) if path else None
