"""Activation checkpointing that doesn't change BatchNorm statistics."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Callable

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


@contextmanager
def _statistics_kept(module: nn.Module) -> Iterator[None]:
    """Freeze the running statistics, because the forward pass has already counted the batch."""
    norms = [
        norm
        for norm in module.modules()
        if isinstance(norm, _BatchNorm) and norm.training and norm.track_running_stats
    ]
    before = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    for norm in norms:
        # With track_running_stats=False, autograd would save other tensors than in the first pass,
        # which checkpointing rejects.
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(count)


def checkpoint_once(function: Callable[..., Tensor], *args: object, norms: nn.Module) -> Tensor:
    """Call a function without saving its intermediate results for the backward pass.

    The backward pass calls the function again. PyTorch's own checkpointing thereby counts each
    batch twice in the running statistics of BatchNorms; this function counts it once.

    Args:
        function: The function to call.
        *args: Arguments of the function.
        norms: The module whose BatchNorms `function` uses.

    Returns:
        The result of the function.
    """
    return checkpoint(
        function,
        *args,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), _statistics_kept(norms)),
    )
