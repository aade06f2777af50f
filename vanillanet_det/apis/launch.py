"""Runs of several processes: how they find each other, on machines without an accelerator too."""

import os
import subprocess
from collections.abc import Mapping
from datetime import timedelta

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import init_dist
from mmengine.registry import MODELS
from mmengine.utils.dl_utils import set_multi_processing

from ..errors import UserError
from ..layers.sync_batch_norm import CPUSyncBatchNorm
from .fresh_store import fresh_store

# Of each launcher: its variables for RANK, WORLD_SIZE and LOCAL_RANK, and how it is called.
_LAUNCHERS = {
    "pytorch": (
        ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
        "torchrun, as in torchrun --nproc_per_node=2 tools/train.py CONFIG --launcher pytorch",
    ),
    "slurm": (
        ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
        "srun, as in srun --ntasks=2 python tools/train.py CONFIG --launcher slurm",
    ),
    "mpi": (
        ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
        "Open MPI, as in mpirun -n 2 python tools/train.py CONFIG --launcher mpi",
    ),
}
_FIRST_PORT = 29500
_TIMEOUT_S = 1800  # PyTorch's own


def init_distributed(cfg: Config) -> None:
    """Join the process group of a run with a launcher.

    mmengine's own start needs an accelerator. Without one the ranks meet over gloo, and
    SyncBN in the config becomes `CPUSyncBatchNorm`.

    Args:
        cfg: The config; on the CPU it gets a model wrapper that fits.

    Raises:
        UserError: The process was not started by the launcher, or the ranks can't meet.
    """
    if cfg.launcher == "none" or torch.distributed.is_initialized():
        return
    os.environ.update(rendezvous(cfg.launcher, os.environ))
    env_cfg = cfg.get("env_cfg") or {}
    dist_cfg = dict(env_cfg.get("dist_cfg") or {})
    if get_device() != "cpu":
        # In this order mmengine's Runner does the same, and now finds it done.
        set_multi_processing(**(env_cfg.get("mp_cfg") or {}), distributed=True)
        init_dist(cfg.launcher, **dist_cfg)
        return
    timeout = timedelta(seconds=dist_cfg.get("timeout", _TIMEOUT_S))
    try:
        store, rank, size = fresh_store(timeout)
        torch.distributed.init_process_group(
            "gloo", store=store, rank=rank, world_size=size, timeout=timeout
        )
    except torch.distributed.DistError as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise UserError(
            f"--launcher {cfg.launcher}: rank {os.environ['RANK']} of {os.environ['WORLD_SIZE']} "
            f"can't meet the others at {where} ({error}); is MASTER_ADDR the host of rank 0, and "
            "MASTER_PORT free there?"
        ) from error
    if cfg.get("model_wrapper_cfg") is None:
        cfg.model_wrapper_cfg = dict(
            type="MMDistributedDataParallel",
            device_ids=None,  # mmengine would name a GPU
            broadcast_buffers=False,
            find_unused_parameters=cfg.get("find_unused_parameters", False),
        )
    MODELS.register_module("SyncBN", module=CPUSyncBatchNorm, force=True)


def rendezvous(launcher: str, env: Mapping[str, str]) -> dict[str, str]:
    """Translate a launcher's variables into those of torchrun.

    Args:
        launcher: `pytorch`, `slurm` or `mpi`.
        env: Environment of the process. MASTER_ADDR and MASTER_PORT win where they are set.

    Returns:
        RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT.

    Raises:
        UserError: The launcher did not start this process, or nobody knows the first host.
    """
    theirs, start = _LAUNCHERS[launcher]
    missing = [name for name in theirs if name not in env]
    if missing:
        raise UserError(
            f"--launcher {launcher}: {', '.join(missing)} not set; expected to be started by "
            f"{start}"
        )
    rank, size, local_rank = (env[name] for name in theirs)
    port = env.get("MASTER_PORT")
    if port is None:
        # Jobs of Slurm that share a node keep apart.
        port = str(_FIRST_PORT + int(env.get("SLURM_JOB_ID", 0)) % 10000)
    return {
        "RANK": rank,
        "WORLD_SIZE": size,
        "LOCAL_RANK": local_rank,
        "MASTER_ADDR": env.get("MASTER_ADDR") or _first_host(launcher, env),
        "MASTER_PORT": port,
    }


def _first_host(launcher: str, env: Mapping[str, str]) -> str:
    nodes = env.get("SLURM_STEP_NODELIST") or env.get("SLURM_NODELIST")
    if launcher == "slurm" and nodes:
        try:
            command = ["scontrol", "show", "hostnames", nodes]
            return subprocess.check_output(command, text=True).split()[0]  # noqa: S603
        except (OSError, subprocess.CalledProcessError, IndexError) as error:
            reason = f"scontrol show hostnames {nodes}: {error}"
    elif launcher == "mpi" and env.get("OMPI_COMM_WORLD_LOCAL_SIZE") == env["OMPI_COMM_WORLD_SIZE"]:
        return "127.0.0.1"
    else:
        reason = "the launcher doesn't tell it"
    raise UserError(
        f"--launcher {launcher}: the host of rank 0 is unknown ({reason}); set MASTER_ADDR to it"
    )
