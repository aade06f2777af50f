"""How the processes of a run find each other; tests/tools/distributed starts real ones."""

import pytest

from vanillanet_det import UserError
from vanillanet_det.apis.launch import rendezvous

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
    ("launcher", "env", "said"),
    [
        ("pytorch", {}, r"RANK, WORLD_SIZE, LOCAL_RANK not set; .* started by torchrun"),
        # What the script of sbatch sees: it is one process, whatever SLURM_NTASKS says.
        (
            "slurm",
            {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NTASKS": "2"},
            r"SLURM_STEP_NUM_TASKS not set; expected to be started by srun",
        ),
        ("slurm", {**SRUN, "SLURM_STEP_NODELIST": "n1"}, r"host of rank 0 .*scontrol.*MASTER_ADDR"),
        ("mpi", {}, r"OMPI_COMM_WORLD_RANK, .*not set; expected to be started by Open MPI"),
        ("mpi", {**MPIRUN, "OMPI_COMM_WORLD_LOCAL_SIZE": "1"}, r"rank 0 is unknown.*MASTER_ADDR"),
    ],
)
def test_a_process_that_the_launcher_did_not_start_is_told_how(launcher, env, said, monkeypatch):
    monkeypatch.setenv("PATH", "")  # no scontrol
    with pytest.raises(UserError, match=rf"--launcher {launcher}: .*{said}"):
        rendezvous(launcher, env)
