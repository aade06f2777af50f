"""Distributed runs on machines without an accelerator."""

import os

import torch
from mmengine.config import Config
from mmengine.device import get_device

from ..errors import UserError


def init_distributed(cfg: Config) -> None:
    """Join the process group where mmengine can't: its own start needs an accelerator.

    Args:
        cfg: The config; gets a model wrapper that fits the CPU.

    Raises:
        UserError: The launcher is `pytorch`, and the process was not started by torchrun.
    """
    if cfg.launcher != "pytorch":
        return
    if "RANK" not in os.environ:
        raise UserError(
            "--launcher pytorch: expected to be started by torchrun, as in "
            "torchrun --nproc_per_node=2 tools/train.py CONFIG --launcher pytorch"
        )
    if get_device() == "cpu" and not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo")
        cfg.setdefault("model_wrapper_cfg", dict(type="MMDistributedDataParallel"))
