"""Safe reading of checkpoints, without running code from the file."""

import pickle
import re
from pathlib import Path
from typing import Any, BinaryIO, Union

import torch

from ..errors import UserError
from .download import fetch, is_url
from .stand_ins import training_state_globals
from .unpickling import load_restricted

PathLike = Union[str, Path]
# Messages of PyTorch and of this package about an object that isn't allowed. Other errors mean that
# the file isn't a valid pickle.
_REFUSED = re.compile(
    r"(?:GLOBAL|nsupported class) (\w[\w.]*)|((?:getattr|numpy dtype) .+) is refused"
    r"|unrecognized function (.+)|Can only (?:build|create) .+ but got (.+)"
    r"|Cannot use ``weights_only=True`` with (TorchScript archives|files .+ legacy .tar format)"
)


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
        is_refusal = isinstance(error, (pickle.UnpicklingError, RuntimeError))
        refused = is_refusal and _REFUSED.search(str(error))
        if not refused:
            message = _unreadable(path, file, error)
            if is_url(path):
                file.unlink(missing_ok=True)  # the next attempt downloads it again
            raise UserError(message) from error
        raise UserError(
            f"checkpoint {path}: refused, because it contains more than tensors and plain numbers, "
            f"and loading it could run code ({' '.join(filter(None, refused.groups()))}); "
            "ask its author for a file that contains only tensors"
        ) from error


def load_safely(file: Union[Path, BinaryIO], map_location: Any = "cpu") -> Any:
    """Call `torch.load`, and accept only tensors and training state.

    Args:
        file: A path or an open file.
        map_location: As for `torch.load`; errors are also those of `torch.load`.
    """
    if torch.__version__ < (2, 10):  # whose safe mode isn't safe enough
        return load_restricted(file, map_location)
    with torch.serialization.safe_globals(training_state_globals()):
        return torch.load(file, map_location=map_location, weights_only=True)


def _unreadable(path: PathLike, file: Path, error: Exception) -> str:
    # The text before this marker recommends unsafe loading.
    lines = str(error).rpartition("WeightsUnpickler error:")[2].split("\n")
    reason = next(filter(None, map(str.strip, lines)), type(error).__name__)
    return (
        f"checkpoint {path}: {file.stat().st_size:,} bytes that can't be read as a PyTorch file; "
        f"it may be truncated ({reason})"
    )
