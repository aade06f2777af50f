"""The table of supplied ops, and the wrapper that they share."""

import functools
from typing import Any, Callable, TypeVar

import torch
from torch import Tensor

Op = TypeVar("Op", bound=Callable[..., Any])

_is_compiling = getattr(torch.compiler, "is_compiling", None) or torch._utils.is_compiling

OPS: dict[str, Callable[..., Any]] = {}
"""Supplied ops by their names in `mmcv._ext`."""


def op(function: Op) -> Op:
    """Register a function as the mmcv op of the same name.

    A compiled op is opaque to autograd and autocast. Because this function consists of PyTorch
    calls, the wrapper disables autograd and autocast: the autograd functions of `mmcv.ops` define
    the gradient, and each op chooses its own precision.

    Args:
        function: The function; its first argument must be a tensor.

    Returns:
        The registered wrapper.
    """

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        first = args[0] if args else next(iter(kwargs.values()))
        with torch.no_grad(), torch.autocast(first.device.type, enabled=False):
            return function(*args, **kwargs)

    OPS[function.__name__] = call
    return call  # type: ignore[return-value]


def is_traced() -> bool:
    """Return whether an exporter or a compiler is tracing, so no branch may depend on values."""
    return torch.jit.is_tracing() or _is_compiling()


def widen(tensor: Tensor) -> Tensor:
    """Cast a tensor to the precision that an op computes in.

    float16 and bfloat16 are cast to float32, because torchvision and the CPU lack kernels for
    them. Results are rounded once, when they are copied to the caller's buffer.

    Args:
        tensor: A floating-point tensor of any shape.

    Returns:
        The tensor in float32 or float64.
    """
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
