"""Safe reading of checkpoints: nothing that a stranger put into a file is run."""

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
# How PyTorch and the stand-ins below report an object that isn't allowed; PyTorch's other errors
# are about bytes that are no pickle at all.
_REFUSED = re.compile(
    r"(?:GLOBAL|nsupported class) (\w[\w.]*)|((?:getattr|numpy dtype) .+) is refused"
    r"|unrecognized function (.+)|Can only (?:build|create) .+ but got (.+)"
)


def _history_buffer_attribute(owner: Any, name: str) -> Any:
    """Stand in for `builtins.getattr` in checkpoints, which need it for HistoryBuffer only."""
    if not any(owner is kind for kind in _history_buffers()) or name.startswith("_"):
        raise pickle.UnpicklingError(f"getattr of {owner!r}, {name!r} is refused")
    return getattr(owner, name)


def _history_buffers() -> list[type]:
    """Return MMEngine's class for logged values, where MMEngine is installed."""
    try:
        from mmengine.logging import HistoryBuffer
    except ImportError:  # published weights need PyTorch alone
        return []
    return [HistoryBuffer]


class _DType:
    """Stand in for `np.dtype`, whose state in a crafted file can make numpy follow any pointer."""

    def __init__(self, code: str, *_: Any) -> None:
        self.dtype = np.dtype(code)
        if self.dtype.kind not in "biuf":
            raise pickle.UnpicklingError(f"numpy dtype {code!r} is refused")

    def __setstate__(self, state: tuple) -> None:
        if state[1] == ">":
            self.dtype = self.dtype.newbyteorder(">")


class _Array(np.ndarray):
    """Stand in for `np.ndarray` that takes numbers only, and is saved as a plain one."""

    def __new__(cls, *_: Any) -> "_Array":
        return super().__new__(cls, 0)

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran, data = state
        values = np.frombuffer(data, dtype.dtype).reshape(shape)  # raises if it doesn't fit
        super().__setstate__((1, values.shape, values.dtype, bool(fortran), bytes(data)))

    def __reduce_ex__(self, protocol: int) -> Any:
        return self.view(np.ndarray).__reduce_ex__(protocol)


def _scalar(dtype: _DType, data: bytes) -> Any:
    return np.frombuffer(data, dtype.dtype, count=1)[0]


def _no_bytes() -> bytes:
    """Stand in for `bytes`, which files call for the data of an empty array."""
    return b""


def _safe_globals() -> list:
    """List what MMEngine and the published training scripts store beside tensors."""
    return [
        argparse.Namespace,
        *_history_buffers(),
        (_Array, "numpy.ndarray"),
        (_DType, "numpy.dtype"),
        # numpy 1 and 2 have these two in modules of different names; files use either.
        *(
            (stand_in, f"numpy.{core}.multiarray.{name}")
            for stand_in, name in ((_Array, "_reconstruct"), (_scalar, "scalar"))
            for core in ("core", "_core")
        ),
        (_history_buffer_attribute, "builtins.getattr"),
        (_no_bytes, "builtins.bytes"),
    ]


# Files that were judged before MMEngine reads them, by path, size and time of change.
_read_ahead: dict[tuple, Any] = {}


def read_ahead(path: PathLike) -> Any:
    """Read a checkpoint that is read again soon: `read_checkpoint` then returns the same content.

    It is handed over once, so that nothing stays in memory. For the arguments, the result and
    errors see `read_checkpoint`.
    """
    content = read_checkpoint(path)
    if not is_url(path):
        _read_ahead[_identify(Path(path).expanduser())] = content
    return content


def _identify(file: Path) -> tuple:
    status = file.stat()
    return str(file.resolve()), status.st_size, status.st_mtime_ns


def read_checkpoint(path: PathLike, map_location: Any = "cpu") -> Any:
    """Read a checkpoint; nothing in it is run.

    Args:
        path: A file of this project, of MMDetection, or a published one; or the http or https
            URL of one, which is downloaded once.
        map_location: Where to put the tensors, as for `torch.load`.

    Returns:
        The content of the file.

    Raises:
        UserError: The file is missing, can't be downloaded, is truncated or no PyTorch file,
            or holds objects that could run code.
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
    except Exception as error:  # bytes that are no pickle raise nearly anything
        refused = isinstance(error, pickle.UnpicklingError) and _REFUSED.search(str(error))
        if not refused:
            message = _unreadable(path, file, error)
            if is_url(path):
                file.unlink(missing_ok=True)  # the next attempt downloads it again
            raise UserError(message) from error
        remedy = (
            "ask its author for a file of plain tensors"
            if _can_allow()
            else f"reading training state safely needs torch 2.6 or newer, this is "
            f"{torch.__version__}"
        )
        raise UserError(
            f"checkpoint {path}: refused, since it holds more than tensors and plain numbers "
            f"and loading that could run code ({' '.join(filter(None, refused.groups()))}); "
            f"{remedy}"
        ) from error


def load_safely(file: Union[Path, BinaryIO], map_location: Any = "cpu") -> Any:
    """Call `torch.load` so that it accepts only tensors and training state.

    Args:
        file: A path or an open file.
        map_location: As for `torch.load`, whose errors it raises.
    """
    allow = torch.serialization.safe_globals(_safe_globals()) if _can_allow() else nullcontext()
    with allow:
        return torch.load(file, map_location=map_location, weights_only=True)


def _can_allow() -> bool:
    """Tell whether this PyTorch accepts stand-ins under other names than their own: from 2.6."""
    return tuple(map(int, re.findall(r"\d+", torch.__version__)[:2])) >= (2, 6)


def _unreadable(path: PathLike, file: Path, error: Exception) -> str:
    # The text before this advises unsafe loading.
    lines = str(error).rpartition("WeightsUnpickler error:")[2].split("\n")
    reason = next(filter(None, map(str.strip, lines)), type(error).__name__)
    return (
        f"checkpoint {path}: {file.stat().st_size:,} bytes that can't be read as a PyTorch file; "
        f"it may be truncated ({reason})"
    )
