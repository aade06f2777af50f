"""Distributed runs: setup of the process group, with or without a GPU."""

import os
import subprocess
import time
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Union

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import init_dist
from mmengine.logging import print_log
from mmengine.registry import MODELS
from mmengine.utils.dl_utils import set_multi_processing
from torch.distributed import PrefixStore, Store

from ..errors import UserError
from ..installation import command
from ..models.layers.sync_batch_norm import CPUSyncBatchNorm

_TRAIN = command("train")
# Each launcher's variables for RANK, WORLD_SIZE and LOCAL_RANK, and an example command.
_LAUNCHERS = {
    "pytorch": (
        ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
        "torchrun, as in torchrun --nproc_per_node=2 -m vanillanet_det_tools train CONFIG "
        "--launcher pytorch",
    ),
    "slurm": (
        ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
        f"srun, as in srun --ntasks=2 {_TRAIN} CONFIG --launcher slurm",
    ),
    "mpi": (
        ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
        f"Open MPI, as in mpirun -n 2 {_TRAIN} CONFIG --launcher mpi",
    ),
}
_FIRST_PORT = 29500
# gloo's default; a rank may have to wait while another one reads annotations or downloads weights.
_TIMEOUT_S = 1800
_POLL_S = 0.05
_gloo: list[Any] = []  # stores and groups of gloo that this process has used
_DIST_ERROR = getattr(torch.distributed, "DistError", RuntimeError)  # new in PyTorch 2.2


def init_distributed(cfg: Config) -> None:
    """Join the process group of a run that was started by a launcher.

    MMEngine's `init_dist` requires a GPU. Without a GPU, the ranks communicate over gloo, and
    SyncBN in the config becomes `CPUSyncBatchNorm`.

    Args:
        cfg: The config; on the CPU, a matching model wrapper is added.

    Raises:
        UserError: The process was not started by the given launcher, it has no GPU of its own, or
            the ranks can't connect.
    """
    if cfg.launcher == "none":
        _check_single_process()
        return
    if torch.distributed.is_initialized():
        return
    os.environ.update(rendezvous(cfg.launcher, os.environ))
    on_cpu = get_device() == "cpu"
    if not on_cpu:
        _check_device()
    env_cfg = cfg.get("env_cfg") or {}
    dist_cfg = {"timeout": _TIMEOUT_S, **(env_cfg.get("dist_cfg") or {})}
    timeout = timedelta(seconds=dist_cfg["timeout"])
    try:
        store, rank, size = _fresh_store(timeout)
        if on_cpu:
            _gloo.append(store)
            torch.distributed.init_process_group(
                "gloo", store=store, rank=rank, world_size=size, timeout=timeout
            )
        else:
            # These steps follow MMEngine's Runner, in the same order; the Runner then skips them.
            set_multi_processing(**(env_cfg.get("mp_cfg") or {}), distributed=True)
            # A fresh store, because torchrun's store still contains the keys of an earlier attempt.
            init_dist(cfg.launcher, **dist_cfg, store=store, rank=rank, world_size=size)
    except _DIST_ERROR as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise UserError(
            f"--launcher {cfg.launcher}: rank {os.environ['RANK']} of {os.environ['WORLD_SIZE']} "
            f"can't connect to the others at {where} ({error}); set MASTER_ADDR to the host of "
            "rank 0, and MASTER_PORT to a free port on it"
        ) from error
    if not on_cpu:
        return
    print_log("No GPU is visible: the ranks communicate over gloo and train on CPUs", "current")
    if cfg.get("model_wrapper_cfg") is None:
        cfg.model_wrapper_cfg = dict(
            type="MMDistributedDataParallel",
            device_ids=None,  # MMEngine would select a GPU
            broadcast_buffers=False,
            find_unused_parameters=cfg.get("find_unused_parameters", False),
        )
    MODELS.register_module("SyncBN", module=CPUSyncBatchNorm, force=True)


def end_distributed(cfg: Config) -> None:
    """Leave the group of ranks on CPUs that `init_distributed` created."""
    is_initialized = cfg.launcher != "none" and torch.distributed.is_initialized()
    if is_initialized and torch.distributed.get_backend() == "gloo":
        leave_gloo()


def leave_gloo() -> None:
    """Leave the group of ranks, and keep its object until the process ends.

    PyTorch 2.1 deletes it holding Python's lock, and waits for gloo's threads, one of which may
    wait for the lock to delete a tensor.
    """
    _gloo.append(torch.distributed.group.WORLD)
    torch.distributed.destroy_process_group()


def has_gloo_threads() -> bool:
    """Return whether threads of gloo may run in this process.

    Newer versions of PyTorch keep them when a group ends that DistributedDataParallel has used.
    While the C++ libraries are cleaned up at the end of a process, they sometimes abort it.
    """
    return bool(_gloo)


def _check_single_process() -> None:
    """Raise an error if several processes would train independently and write the same files."""
    size = os.environ.get("WORLD_SIZE", "1")
    if "TORCHELASTIC_RUN_ID" in os.environ and size != "1":
        raise UserError(
            f"torchrun started {size} processes, but --launcher is none, so each would train "
            "independently and write the same files; add --launcher pytorch"
        )


def _check_device() -> None:
    """Raise an error if this rank would have to share a GPU."""
    local_rank, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if get_device() == "cuda" and local_rank >= count:
        raise UserError(
            f"rank {os.environ['RANK']}: is process {local_rank} of its node, counted from 0, but "
            f"sees {count} GPUs; expected one GPU per process; start as many processes as a node "
            "has GPUs (--nproc_per_node), and make all GPUs visible to each (Slurm: --gres=gpu:N)"
        )
    if get_device() == "mps":
        raise UserError(
            "--launcher: several processes can't share the GPU of a Mac; omit --launcher"
        )


def rendezvous(launcher: str, env: Mapping[str, str]) -> dict[str, str]:
    """Translate a launcher's variables into those of torchrun.

    Args:
        launcher: `pytorch`, `slurm` or `mpi`.
        env: Environment of the process. MASTER_ADDR and MASTER_PORT are used if set.

    Returns:
        RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT.

    Raises:
        UserError: The launcher did not start this process, or the host of rank 0 is unknown.
    """
    names, start = _LAUNCHERS[launcher]
    missing = [name for name in names if name not in env]
    if missing:
        raise UserError(
            f"--launcher {launcher}: {', '.join(missing)} not set; start the run with {start}"
        )
    rank, size, local_rank = (env[name] for name in names)
    port = env.get("MASTER_PORT")
    if port is None:
        # Slurm jobs that share a node need different ports.
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
        reason = "the launcher doesn't provide it"
    raise UserError(
        f"--launcher {launcher}: the host of rank 0 is unknown ({reason}); set MASTER_ADDR to it"
    )


def _fresh_store(timeout: timedelta) -> tuple[Store, int, int]:
    """Connect to the other ranks, and agree on an unused prefix in the store.

    When torchrun restarts ranks, it keeps its store, from which gloo would read the addresses of
    dead processes. Rank 0 therefore offers a new prefix, and uses it once every other rank has
    answered. A rank that reads an old offer gets no reply to its answer, and reads the offer again.

    Args:
        timeout: How long to wait for the other ranks.

    Returns:
        The store, the rank, and the number of ranks.

    Raises:
        UserError: The other ranks didn't answer in time.
    """
    store, rank, size = next(torch.distributed.rendezvous("env://", timeout=timeout))
    end = time.monotonic() + timeout.total_seconds()
    name = _offer(store, size, end) if rank == 0 else _accept(store, rank, end)
    return PrefixStore(name, store), rank, size


def _offer(store: Store, size: int, end: float) -> str:
    name = uuid.uuid4().hex
    _put(store, "offer", name)
    answers = [f"{name}/answer/{rank}" for rank in range(1, size)]
    while not all(_has(store, answer) for answer in answers):
        _wait(end)
    _put(store, f"{name}/seen", b" ".join(store.get(answer) for answer in answers))
    return name


def _accept(store: Store, rank: int, end: float) -> str:
    own = uuid.uuid4().hex
    while True:
        if _has(store, "offer"):
            name = store.get("offer").decode()
            _put(store, f"{name}/answer/{rank}", own)
            if _has(store, f"{name}/seen") and own.encode() in store.get(f"{name}/seen"):
                return name
        _wait(end)


def _put(store: Store, key: str, value: Union[str, bytes]) -> None:
    store.set(key, value)
    store.add(f"{key}/count", 1)


def _has(store: Store, key: str) -> bool:
    """Return whether a key was put, which PyTorch 2.1 has no method for."""
    return store.add(f"{key}/count", 0) > 0


def _wait(end: float) -> None:
    if time.monotonic() > end:
        raise UserError(
            "the ranks didn't connect in time; start as many processes as the launcher "
            "reports, with the same MASTER_ADDR and MASTER_PORT"
        )
    time.sleep(_POLL_S)
