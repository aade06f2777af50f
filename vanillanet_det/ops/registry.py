"""The table of supplied ops and the wrapper they share."""

import functools
from typing import Any, Callable, TypeVar

import torch
from torch import Tensor

Op = TypeVar("Op", bound=Callable[..., Any])

OPS: dict[str, Callable[..., Any]] = {}
"""Supplied ops by the name under which `mmcv.ops` looks them up in `mmcv._ext`."""


def op(function: Op) -> Op:
    """Register a function as the mmcv op of the same name.

    A compiled op is opaque to autograd and to autocast. Here the function is made of
    PyTorch calls, so both are switched off around it: the autograd functions of
    `mmcv.ops` define the gradient, and an op chooses its own precision.

    Args:
        function: Takes a tensor as its first argument.

    Returns:
        The function as registered.
    """

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        first = args[0] if args else next(iter(kwargs.values()))
        with torch.no_grad(), torch.autocast(first.device.type, enabled=False):
            return function(*args, **kwargs)

    OPS[function.__name__] = call
    return call  # type: ignore[return-value]


def widen(tensor: Tensor) -> Tensor:
    """Cast a tensor to the precision that an op computes in.

    float16 and bfloat16 become float32, because torchvision and the CPU lack kernels for
    them; results are rounded once, when they are copied into the caller's buffer.

    Args:
        tensor: Of any shape and floating type.

    Returns:
        The tensor in float32 or float64.
    """
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
