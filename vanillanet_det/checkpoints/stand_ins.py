"""Stand-ins for what training state contains besides tensors, none of which can run code."""

import argparse
import pickle
from typing import Any

import numpy as np


def _history_buffer_attribute(owner: Any, name: str) -> Any:
    """Stand in for `builtins.getattr`, which checkpoints need only for HistoryBuffer."""
    if not any(owner is kind for kind in _history_buffers()) or name.startswith("_"):
        raise pickle.UnpicklingError(f"getattr of {owner!r}, {name!r} is refused")
    return getattr(owner, name)


def _history_buffers() -> list[type]:
    """Return MMEngine's class for logged values, if MMEngine is installed."""
    try:
        from mmengine.logging import HistoryBuffer
    except ImportError:  # published weights need only PyTorch
        return []
    return [HistoryBuffer]


class _DType:
    """Stand-in for `np.dtype`, whose state in a crafted file can make NumPy follow any pointer."""

    def __init__(self, code: str, *_: Any) -> None:
        self.dtype = np.dtype(code)
        if self.dtype.kind not in "biuf":
            raise pickle.UnpicklingError(f"numpy dtype {code!r} is refused")

    def __setstate__(self, state: tuple) -> None:
        if state[1] == ">":
            self.dtype = self.dtype.newbyteorder(">")


class _Array(np.ndarray):
    """Stand-in for `np.ndarray` that accepts only numbers and is saved as a plain array."""

    def __new__(cls, *_: Any) -> "_Array":
        return super().__new__(cls, 0)

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran, data = state
        values = np.frombuffer(data, dtype.dtype).reshape(shape)  # raises if the shape doesn't fit
        super().__setstate__((1, values.shape, values.dtype, bool(fortran), bytes(data)))

    def __reduce_ex__(self, protocol: int) -> Any:
        return self.view(np.ndarray).__reduce_ex__(protocol)


def _scalar(dtype: _DType, data: bytes) -> Any:
    return np.frombuffer(data, dtype.dtype, count=1)[0]


def _no_bytes() -> bytes:
    """Stand in for `bytes`, which files call to create the data of an empty array."""
    return b""


def training_state_globals() -> list:
    """List the types that MMEngine and the published training scripts store besides tensors."""
    return [
        argparse.Namespace,
        *_history_buffers(),
        (_Array, "numpy.ndarray"),
        (_DType, "numpy.dtype"),
        # NumPy 1 and 2 have these two in different modules; files may refer to either.
        *(
            (stand_in, f"numpy.{core}.multiarray.{name}")
            for stand_in, name in ((_Array, "_reconstruct"), (_scalar, "scalar"))
            for core in ("core", "_core")
        ),
        (_history_buffer_attribute, "builtins.getattr"),
        (_no_bytes, "builtins.bytes"),
    ]
