"""The store over which ranks meet, without what ranks of an earlier attempt left in it."""

import time
import uuid
from datetime import timedelta

import torch
from torch.distributed import PrefixStore, Store

from ..errors import UserError

_POLL_S = 0.05


def fresh_store(timeout: timedelta) -> tuple[Store, int, int]:
    """Meet the other ranks, and agree on a part of the store that nobody has used.

    When torchrun restarts ranks it keeps its store, and gloo would read there the addresses of
    processes that are dead. Rank 0 offers a new name, and takes it once every other rank has
    answered; a rank that reads an old offer finds no reply to its own answer, and reads again.

    Args:
        timeout: How long to wait for the others.

    Returns:
        The store, the rank, and the number of ranks.

    Raises:
        UserError: The others didn't come.
    """
    store, rank, size = next(torch.distributed.rendezvous("env://", timeout=timeout))
    end = time.monotonic() + timeout.total_seconds()
    name = _offer(store, size, end) if rank == 0 else _accept(store, rank, end)
    return PrefixStore(name, store), rank, size


def _offer(store: Store, size: int, end: float) -> str:
    name = uuid.uuid4().hex
    store.set("offer", name)
    answers = [f"{name}/answer/{rank}" for rank in range(1, size)]
    while answers and not store.check(answers):
        _wait(end)
    store.set(f"{name}/seen", b" ".join(store.get(answer) for answer in answers))
    return name


def _accept(store: Store, rank: int, end: float) -> str:
    own = uuid.uuid4().hex
    while True:
        if store.check(["offer"]):
            name = store.get("offer").decode()
            store.set(f"{name}/answer/{rank}", own)
            if store.check([f"{name}/seen"]) and own.encode() in store.get(f"{name}/seen"):
                return name
        _wait(end)


def _wait(end: float) -> None:
    if time.monotonic() > end:
        raise UserError(
            "the ranks waited for each other in vain; were as many processes started as the "
            "launcher says, with the same MASTER_ADDR and MASTER_PORT?"
        )
    time.sleep(_POLL_S)
