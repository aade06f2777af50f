"""Checkpoints: read without running what a stranger put in, and refused if they don't fit."""

import argparse
import pickle
import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
import torch
from mmengine.logging import HistoryBuffer, print_log
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from .errors import UserError

PathLike = Union[str, Path]
# Published files nest their weights below one of these, the averaged ones first.
_WRAPPERS = ("model_ema", "state_dict", "model")
_PREFIX = re.compile(r"^(module\.|backbone\.)+")
_LEAST_MATCH = 0.9
# What PyTorch and the stand-ins below say of an object that isn't allowed; the rest of what
# PyTorch says is about bytes that are no pickle at all.
_REFUSED = re.compile(
    r"(?:GLOBAL|nsupported class) (\w[\w.]*)|((?:getattr|numpy dtype) .+) is refused"
    r"|unrecognized function (.+)|Can only (?:build|create) .+ but got (.+)"
)


def _history_buffer_attribute(owner: object, name: str) -> Any:
    """Stand in for `builtins.getattr` in checkpoints, which need it for HistoryBuffer only."""
    if owner is not HistoryBuffer or name.startswith("_"):
        raise pickle.UnpicklingError(f"getattr of {owner!r}, {name!r} is refused")
    return getattr(HistoryBuffer, name)


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
    """Stand in for `np.ndarray` that takes numbers only; saved again it is a plain one."""

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
    """List what mmengine and the published training scripts store beside tensors."""
    return [
        argparse.Namespace,
        HistoryBuffer,
        (_Array, "numpy.ndarray"),
        (_DType, "numpy.dtype"),
        # numpy 1 and 2 keep these two in differently named modules; files name either.
        *(
            (stand_in, f"numpy.{core}.multiarray.{name}")
            for stand_in, name in ((_Array, "_reconstruct"), (_scalar, "scalar"))
            for core in ("core", "_core")
        ),
        (_history_buffer_attribute, "builtins.getattr"),
        (_no_bytes, "builtins.bytes"),
    ]


def read_checkpoint(path: PathLike, map_location: Any = "cpu") -> Any:
    """Read a checkpoint file; nothing in it is run.

    Args:
        path: A file of this project, of MMDetection, or a published one.
        map_location: Where to put the tensors, as for `torch.load`.

    Returns:
        What the file holds.

    Raises:
        UserError: There is no such file, it is truncated or none of PyTorch's, or it holds
            objects that could run code.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise UserError(f"checkpoint {path}: there is no such file")
    allow = _can_allow()
    try:
        with torch.serialization.safe_globals(_safe_globals()) if allow else nullcontext():
            return torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:  # bytes that are no pickle raise nearly anything
        refused = isinstance(error, pickle.UnpicklingError) and _REFUSED.search(str(error))
        if not refused:
            raise UserError(_unreadable(path, error)) from error
        remedy = (
            "ask its author for a file of plain tensors"
            if allow
            else f"reading training state safely needs torch 2.6 or newer, this is "
            f"{torch.__version__}"
        )
        raise UserError(
            f"checkpoint {path}: refused, since it holds more than tensors and plain numbers "
            f"and loading that could run code ({' '.join(filter(None, refused.groups()))}); "
            f"{remedy}"
        ) from error


def _can_allow() -> bool:
    """Say whether this torch can allow stand-ins: from 2.6, with names other than their own."""
    return tuple(map(int, re.findall(r"\d+", torch.__version__)[:2])) >= (2, 6)


def _unreadable(path: Path, error: Exception) -> str:
    # What PyTorch says before this advises unsafe loading.
    lines = str(error).rpartition("WeightsUnpickler error:")[2].split("\n")
    reason = next(filter(None, map(str.strip, lines)), type(error).__name__)
    return (
        f"checkpoint {path}: {path.stat().st_size:,} bytes that can't be read as a PyTorch file; "
        f"it may be truncated ({reason})"
    )


@CheckpointLoader.register_scheme(prefixes="", force=True)
def load_from_local(filename: str, map_location: Any = None) -> Any:
    """Take the place of mmengine's function of this name, which its log shows.

    That one reads with torch.load's default, which before torch 2.6 runs a file's code and
    since then refuses mmengine's own checkpoints.
    """
    return read_checkpoint(filename, map_location)


def backbone_state_dict(checkpoint: Any) -> dict[str, Tensor]:
    """Take a backbone's tensors out of a checkpoint, whatever they are wrapped in.

    Args:
        checkpoint: A bare state dict or one below `model_ema`, `state_dict` or `model`; names
            may begin with `module.` or `backbone.`.

    Returns:
        Tensors by their names in the backbone. Of a detector, only the backbone's.
    """
    for key in _WRAPPERS:
        if isinstance(checkpoint, dict) and isinstance(checkpoint.get(key), dict):
            checkpoint = checkpoint[key]
            break
    items = checkpoint.items() if isinstance(checkpoint, dict) else ()
    tensors = {str(key): value for key, value in items if isinstance(value, Tensor)}
    of_backbone = {key: value for key, value in tensors.items() if "backbone." in key}
    return {_PREFIX.sub("", key): value for key, value in (of_backbone or tensors).items()}


def load_backbone(backbone: nn.Module, path: PathLike) -> None:
    """Load a backbone from a checkpoint, and say what matched.

    Args:
        backbone: The network; all or none of it is loaded.
        path: The checkpoint file.

    Raises:
        UserError: The file can't be read, tensors have other shapes, or less than 90 % of the
            backbone's tensors are in it.
    """
    found = backbone_state_dict(read_checkpoint(path))
    expected = backbone.state_dict()
    # Lambda is 1 where a file doesn't name it.
    wanted = [key for key in expected if not key.endswith("act_lambda")]
    missing = [key for key in wanted if key not in found]
    left_over = [key for key in found if key not in expected]
    matched = len(wanted) - len(missing)
    report = (
        f"{path}: {matched} of {len(wanted)} tensors of the backbone match, "
        f"{len(missing)} missing{_some(missing)}, {len(left_over)} left over{_some(left_over)}"
    )
    if matched < _LEAST_MATCH * len(wanted):
        raise UserError(
            f"{report}; expected at least {_LEAST_MATCH:.0%}. Check that arch and deploy of the "
            "config are those of the file"
        )
    for key in wanted:
        if key in found and found[key].shape != expected[key].shape:
            raise UserError(
                f"{path}: {key} has the shape {tuple(found[key].shape)} but the backbone expects "
                f"{tuple(expected[key].shape)}; check arch and act_num of the config"
            )
    backbone.load_state_dict({k: v for k, v in found.items() if k in expected}, strict=False)
    print_log(report, logger="current")


def _some(keys: list[str]) -> str:
    return f" ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})" if keys else ""


def find_resume(work_dir: PathLike) -> Optional[Path]:
    """Find the newest checkpoint in a folder that can be read.

    Unreadable ones, such as a file truncated when a disk was full, are named in a warning.

    Args:
        work_dir: Folder with `epoch_*.pth` or `iter_*.pth`.

    Returns:
        The checkpoint to resume from, or None if there is none at all.

    Raises:
        UserError: There are checkpoints, and none can be read.
    """
    named = {
        path: int(match.group(1))
        for path in Path(work_dir).glob("*.pth")
        if (match := re.fullmatch(r"(?:epoch|iter)_(\d+)\.pth", path.name))
    }
    problems = []
    # By time first: a folder may hold checkpoints by epoch and by iteration.
    for path in sorted(named, key=lambda p: (p.stat().st_mtime_ns, named[p]), reverse=True):
        try:
            read_checkpoint(path)
        except UserError as error:
            problems.append(str(error))
            continue
        for problem in problems:
            print_log(f"{problem}; going on from {path} instead", "current", level=30)
        return path
    if problems:
        raise UserError("; ".join(problems) + "; there is none before to resume from")
    return None
