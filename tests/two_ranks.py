"""Runs a function in two processes that meet over gloo."""

from torch import distributed, load, multiprocessing, save

from vanillanet_det.engine.launch import leave_gloo


def run_in_two_ranks(function, folder):
    """Return what `function(rank)` returns in each of two ranks, as saved in a folder."""
    # Not forked from this process: where a test before had threads of autograd's, a forked process
    # can't have any. The server imports the package once for all ranks.
    multiprocessing.get_context("forkserver").set_forkserver_preload(["vanillanet_det"])
    multiprocessing.start_processes(
        _run, args=(function, folder), nprocs=2, start_method="forkserver"
    )
    return [load(folder / f"{rank}.pt") for rank in (0, 1)]


def _run(rank, function, folder):
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2
    )
    save(function(rank), folder / f"{rank}.pt")
    leave_gloo()
