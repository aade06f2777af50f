"""Safe reading of checkpoints, without running code from the file."""

import argparse
import pickle
import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO, Union

import numpy as np
import torch

from ..errors import UserError
from .download import fetch, is_url

PathLike = Union[str, Path]
# Messages of PyTorch and of the stand-ins below about an object that isn't allowed. PyTorch's
# other errors mean that the file isn't a valid pickle.
_REFUSED = re.compile(
    r"(?:GLOBAL|nsupported class) (\w[\w.]*)|((?:getattr|numpy dtype) .+) is refused"
    r"|unrecognized function (.+)|Can only (?:build|create) .+ but got (.+)"
)


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


def _safe_globals() -> list:
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


# Content of files that were checked before MMEngine reads them, by path, size and time of change.
_read_ahead: dict[tuple, Any] = {}


def read_ahead(path: PathLike) -> Any:
    """Read a checkpoint, and keep its content for the next call of `read_checkpoint`.

    The content is handed over once and not kept after that. Arguments, result and errors are those
    of `read_checkpoint`.
    """
    content = read_checkpoint(path)
    if not is_url(path):
        _read_ahead[_identify(Path(path).expanduser())] = content
    return content


def _identify(file: Path) -> tuple:
    status = file.stat()
    return str(file.resolve()), status.st_size, status.st_mtime_ns


def read_checkpoint(path: PathLike, map_location: Any = "cpu") -> Any:
    """Read a checkpoint without running code from it.

    Args:
        path: Path, or http or https URL, of a checkpoint of this project or MMDetection, or of
            published weights. URLs are downloaded once.
        map_location: Device for the tensors, as for `torch.load`.

    Returns:
        The content of the file.

    Raises:
        UserError: The file is missing, can't be downloaded, is truncated, isn't a PyTorch file, or
            contains objects that could run code.
    """
    file = fetch(str(path)) if is_url(path) else Path(path).expanduser()
    if not file.is_file():
        raise UserError(f"checkpoint {path}: there is no such file")
    content = _read_ahead.pop(_identify(file), None)
    if content is not None and str(map_location) == "cpu":
        return content
    try:
        return load_safely(file, map_location)
    except (MemoryError, torch.cuda.OutOfMemoryError):
        raise  # the file is not to blame
    except Exception as error:  # invalid pickles may raise almost any exception
        refused = isinstance(error, pickle.UnpicklingError) and _REFUSED.search(str(error))
        if not refused:
            message = _unreadable(path, file, error)
            if is_url(path):
                file.unlink(missing_ok=True)  # the next attempt downloads it again
            raise UserError(message) from error
        remedy = (
            "ask its author for a file that contains only tensors"
            if _can_allow()
            else f"reading training state safely requires torch 2.6 or newer, but "
            f"{torch.__version__} is installed"
        )
        raise UserError(
            f"checkpoint {path}: refused, because it contains more than tensors and plain numbers, "
            f"and loading it could run code ({' '.join(filter(None, refused.groups()))}); "
            f"{remedy}"
        ) from error


def load_safely(file: Union[Path, BinaryIO], map_location: Any = "cpu") -> Any:
    """Call `torch.load`, and accept only tensors and training state.

    Args:
        file: A path or an open file.
        map_location: As for `torch.load`; errors are also those of `torch.load`.
    """
    allow = torch.serialization.safe_globals(_safe_globals()) if _can_allow() else nullcontext()
    with allow:
        return torch.load(file, map_location=map_location, weights_only=True)


def _can_allow() -> bool:
    """Return whether this PyTorch version accepts stand-ins under another name (2.6 or newer)."""
    return tuple(map(int, re.findall(r"\d+", torch.__version__)[:2])) >= (2, 6)


def _unreadable(path: PathLike, file: Path, error: Exception) -> str:
    # The text before this marker recommends unsafe loading.
    lines = str(error).rpartition("WeightsUnpickler error:")[2].split("\n")
    reason = next(filter(None, map(str.strip, lines)), type(error).__name__)
    return (
        f"checkpoint {path}: {file.stat().st_size:,} bytes that can't be read as a PyTorch file; "
        f"it may be truncated ({reason})"
    )
