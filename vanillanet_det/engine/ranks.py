"""What the ranks of a run do together, so that all of them go on or all of them stop."""

import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable

import torch

from ..errors import UserError

# Of torchrun, Slurm and Open MPI.
_LOCAL_RANKS = ("LOCAL_RANK", "SLURM_LOCALID", "OMPI_COMM_WORLD_LOCAL_RANK")
# How long other ranks leave the first one to say what is wrong; torchrun ends them then.
_PATIENCE_S = 5
# What gloo says when the process at the other end is gone.
_LOST = re.compile(r"Connection (closed|reset) by|Broken pipe|Connection refused|Socket closed")


def is_first() -> bool:
    """Tell whether this is rank 0, or the only process."""
    return not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0


def is_first_of_node() -> bool:
    """Tell whether this is the first process of its node."""
    ranks = (os.environ[name] for name in _LOCAL_RANKS if name in os.environ)
    return next(ranks, "0") == "0"


def together(function: Callable[[], Any], mine: bool = True) -> list[Any]:
    """Call a function in some ranks; what a user must mend in one of them stops all of them.

    Args:
        function: What to call.
        mine: Call it in this rank.

    Returns:
        What it returned, for each rank that called it.

    Raises:
        UserError: In every rank, what the first of them raised.
    """
    if not torch.distributed.is_initialized():
        return [function()]
    outcome: list[Any] = []
    failure = None
    if mine:
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


def whereabouts() -> str:
    """Name this process in a sentence: its rank and host, or nothing if it is the only one."""
    if not torch.distributed.is_initialized():
        return ""
    return f"rank {torch.distributed.get_rank()} on {socket.gethostname()}: "


@contextmanager
def one_voice() -> Iterator[None]:
    """Let the first rank of a node say what is wrong before a run begins.

    All ranks read the same config, and would say the same at once.
    """
    try:
        yield
    except UserError:
        if not is_first_of_node():
            time.sleep(_PATIENCE_S)
        raise


@contextmanager
def lost_ranks() -> Iterator[None]:
    """Turn what the backend says of a rank that is gone into a sentence.

    Raises:
        UserError: The connection to another rank broke.
    """
    try:
        yield
    except RuntimeError as error:
        if not (torch.distributed.is_initialized() and _LOST.search(str(error))):
            raise
        raise UserError(
            f"{whereabouts()}another rank has ended, and this one can't go on alone; what that "
            "rank said tells why. Go on from the newest checkpoint with --resume"
        ) from error
