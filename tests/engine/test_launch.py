"""How the processes of a run find each other; tests/tools/distributed starts real ones."""

import gc
import weakref

import pytest
import torch
from mmengine.config import Config

from vanillanet_det import UserError
from vanillanet_det.engine import launch
from vanillanet_det.engine.launch import init_distributed, rendezvous

SRUN = {"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4", "SLURM_LOCALID": "1"}
MPIRUN = {
    "OMPI_COMM_WORLD_RANK": "1",
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
}


def test_slurm_variables_become_those_of_torchrun():
    found = rendezvous("slurm", {**SRUN, "SLURM_JOB_ID": "20007", "MASTER_ADDR": "n1"})
    assert found == {
        "RANK": "3",
        "WORLD_SIZE": "4",
        "LOCAL_RANK": "1",
        "MASTER_ADDR": "n1",
        "MASTER_PORT": "29507",  # another job on the node has another
    }
    assert (
        rendezvous("slurm", {**SRUN, "MASTER_ADDR": "n1", "MASTER_PORT": "5"})["MASTER_PORT"] == "5"
    )


def test_mpi_on_one_node_needs_no_address():
    found = rendezvous("mpi", {**MPIRUN, "OMPI_COMM_WORLD_LOCAL_SIZE": "2"})
    assert (found["RANK"], found["LOCAL_RANK"], found["WORLD_SIZE"]) == ("1", "1", "2")
    assert found["MASTER_ADDR"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("launcher", "env", "message"),
    [
        ("pytorch", {}, r"RANK, WORLD_SIZE, LOCAL_RANK not set; start the run with torchrun"),
        # What the script of sbatch sees: it is one process, whatever SLURM_NTASKS is.
        (
            "slurm",
            {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NTASKS": "2"},
            r"SLURM_STEP_NUM_TASKS not set; start the run with srun",
        ),
        ("slurm", {**SRUN, "SLURM_STEP_NODELIST": "n1"}, r"host of rank 0 .*scontrol.*MASTER_ADDR"),
        ("mpi", {}, r"OMPI_COMM_WORLD_RANK, .*not set; start the run with Open MPI"),
        ("mpi", {**MPIRUN, "OMPI_COMM_WORLD_LOCAL_SIZE": "1"}, r"rank 0 is unknown.*MASTER_ADDR"),
    ],
)
def test_a_process_that_the_launcher_did_not_start_is_told_how(launcher, env, message, monkeypatch):
    monkeypatch.setenv("PATH", "")  # no scontrol
    with pytest.raises(UserError, match=rf"--launcher {launcher}: .*{message}"):
        rendezvous(launcher, env)


def test_several_processes_without_a_launcher_are_refused(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", "1")
    init_distributed(Config(dict(launcher="none")))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match=r"started 2 processes, .*add --launcher pytorch"):
        init_distributed(Config(dict(launcher="none")))


def test_more_processes_than_gpus_are_refused(monkeypatch):
    # No machine of this suite needs to have a GPU.
    monkeypatch.setattr(launch, "get_device", lambda: "cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    for name, value in dict(RANK="5", WORLD_SIZE="8", LOCAL_RANK="5", MASTER_ADDR="x").items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"rank 5: is process 5 of its node, .* sees 4 GPUs"):
        init_distributed(Config(dict(launcher="pytorch")))


def test_the_group_of_gloo_outlives_its_end(one_process_group):
    group = weakref.ref(torch.distributed.group.WORLD)
    launch.leave_gloo()
    gc.collect()
    assert group() is not None  # PyTorch 2.1 hangs while it is deleted
    assert not torch.distributed.is_initialized()
