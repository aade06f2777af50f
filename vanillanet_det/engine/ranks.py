"""Steps that the ranks of a run take together, so that all ranks continue or all stop."""

import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable

import torch

from ..errors import UserError

# The variables of torchrun, Slurm and Open MPI.
_LOCAL_RANKS = ("LOCAL_RANK", "SLURM_LOCALID", "OMPI_COMM_WORLD_LOCAL_RANK")
# How long the other ranks wait while the first one reports an error; torchrun then ends them.
_PATIENCE_S = 30  # rank 0 may take long to exit on a busy machine
# gloo's errors after the process at the other end has exited.
_LOST = re.compile(r"Connection (closed|reset) by|Broken pipe|Connection refused|Socket closed")


def is_first() -> bool:
    """Return whether this is rank 0 or the only process."""
    return not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0


def is_first_of_node() -> bool:
    """Return whether this is the first process of its node."""
    ranks = (os.environ[name] for name in _LOCAL_RANKS if name in os.environ)
    return next(ranks, "0") == "0"


def gather_or_raise(function: Callable[[], Any], call_here: bool = True) -> list[Any]:
    """Call a function in some ranks and gather the results; a UserError in one rank stops all.

    Args:
        function: The function, without arguments.
        call_here: Call the function in this rank.

    Returns:
        The results of the ranks that called the function.

    Raises:
        UserError: A rank failed; every rank raises the error of the first rank that failed.
    """
    if not torch.distributed.is_initialized():
        return [function()]
    outcome: list[Any] = []
    failure = None
    if call_here:
        try:
            outcome.append(function())
        except UserError as error:
            failure = str(error)
    ranks: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(ranks, (outcome, failure))
    for _, failure in ranks:
        if failure is not None:
            raise UserError(failure)
    return [result for outcome, _ in ranks for result in outcome]


def rank_prefix() -> str:
    """Return a message prefix with this process's rank and host; '' if it is the only process."""
    if not torch.distributed.is_initialized():
        return ""
    return f"rank {torch.distributed.get_rank()} on {socket.gethostname()}: "


@contextmanager
def first_rank_reports() -> Iterator[None]:
    """Let only the first rank of a node report errors before a run starts.

    All ranks read the same config, and would otherwise all report the same error.
    """
    try:
        yield
    except UserError:
        if not is_first_of_node():
            time.sleep(_PATIENCE_S)
        raise


@contextmanager
def lost_rank_errors() -> Iterator[None]:
    """Convert the backend's error about a lost rank into a `UserError`.

    Raises:
        UserError: The connection to another rank broke.
    """
    try:
        yield
    except RuntimeError as error:
        if not (torch.distributed.is_initialized() and _LOST.search(str(error))):
            raise
        raise UserError(
            f"{rank_prefix()}another rank has exited, and this rank can't continue alone; see "
            "that rank's output for the reason. Resume from the newest checkpoint with --resume"
        ) from error
