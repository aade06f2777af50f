"""Restricted unpickling for PyTorch before 2.10.

There, `torch.load(weights_only=True)` reads past the end of a record that is shorter than the file
claims (https://github.com/pytorch/pytorch/pull/165553). Before 2.6, it also refuses training state
and runs the code of TorchScript archives.
"""

import pickle
import tarfile
from collections import Counter, OrderedDict
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO, Optional, Union

import torch

from .stand_ins import training_state_globals

_NOT_WITH = "Cannot use ``weights_only=True`` with "  # newer versions of PyTorch say so
# Those of pickle protocol 2, which `torch.save` writes. PyTorch's own safe mode knows no others.
_OPCODES = (
    *(pickle.PROTO, pickle.STOP, pickle.GLOBAL, pickle.REDUCE, pickle.NEWOBJ, pickle.BUILD),
    *(pickle.BINPERSID, pickle.MARK, pickle.BINPUT, pickle.LONG_BINPUT, pickle.BINGET),
    *(pickle.LONG_BINGET, pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.BININT),
    *(pickle.BININT1, pickle.BININT2, pickle.LONG1, pickle.BINFLOAT, pickle.BINUNICODE),
    *(pickle.SHORT_BINSTRING, pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2),
    *(pickle.TUPLE3, pickle.EMPTY_LIST, pickle.APPEND, pickle.APPENDS, pickle.EMPTY_DICT),
    *(pickle.SETITEM, pickle.SETITEMS, pickle.EMPTY_SET),
)


def load_restricted(file: Union[Path, BinaryIO], map_location: Any = "cpu") -> Any:
    """Call `torch.load`, and accept only tensors and training state.

    Args:
        file: A path, or a file opened for reading.
        map_location: As for `torch.load`; errors are also those of `torch.load`.

    Raises:
        pickle.UnpicklingError: The file contains anything else.
    """
    with open(file, "rb") if isinstance(file, Path) else nullcontext(file) as opened:
        module = _pickle_module(_record_sizes(opened))
        opened.seek(0)
        return torch.load(
            opened, map_location=map_location, pickle_module=module, weights_only=False
        )


def _pickle_module(record_sizes: Optional[dict[str, int]]) -> Any:
    """Return what `torch.load` uses of a module like `pickle`."""
    kind = type("Unpickler", (_Unpickler,), dict(record_sizes=record_sizes))
    return SimpleNamespace(
        __name__=__name__, Unpickler=kind, load=lambda file, **kwargs: kind(file, **kwargs).load()
    )


def _record_sizes(file: BinaryIO) -> Optional[dict[str, int]]:
    """Return the bytes of each record in a zip archive; None for PyTorch's older format."""
    file.seek(0)
    is_zip = file.read(4) == b"PK\x03\x04"  # how `torch.load` tells them apart
    file.seek(0)
    if not is_zip:
        if tarfile.is_tarfile(file):  # written before PyTorch 0.2; reading one unpacks it
            raise pickle.UnpicklingError(_NOT_WITH + "files in the legacy .tar format")
        return None
    # PyTorch's own reader: another one may see other records in a crafted archive.
    reader = torch._C.PyTorchFileReader(file)
    names = reader.get_all_records()
    if "constants.pkl" in names:  # how `torch.load` recognises TorchScript
        raise pickle.UnpicklingError(_NOT_WITH + "TorchScript archives")
    return {name: len(reader.get_record(name)) for name in names if name.startswith("data/")}


class _Opcodes(dict):
    def __missing__(self, code: int) -> Any:
        raise pickle.UnpicklingError(f"unsupported operand {code}")


class _Unpickler(pickle._Unpickler):
    """Unpickler that knows an allow-list, and changes and calls nothing else."""

    record_sizes: Optional[dict[str, int]] = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._allowed = _allowed_globals()

    def find_class(self, module: str, name: str) -> Any:
        module = "builtins" if module == "__builtin__" else module
        if f"{module}.{name}" not in self._allowed:
            raise pickle.UnpicklingError(f"Unsupported class {module}.{name}")
        return self._allowed[f"{module}.{name}"]

    def load_reduce(self) -> None:
        self._check_allowed(self.stack[-2])
        super().load_reduce()

    def load_newobj(self) -> None:
        self._check_allowed(self.stack[-2])
        super().load_newobj()

    def load_build(self) -> None:
        # Pickle's own method also sets attributes of classes and functions.
        state, owner = self.stack.pop(), self.stack[-1]
        self._check_allowed(type(owner))
        if hasattr(type(owner), "__setstate__"):
            type(owner).__setstate__(owner, state)
        else:
            owner.__dict__.update(state)

    def load_binpersid(self) -> None:
        kind, *storage = self.stack[-1]
        if kind not in ("storage", b"storage"):
            raise pickle.UnpicklingError(f"Unsupported class {kind}")
        if self.record_sizes is not None:
            typed, key, _, numel = storage
            dtype = torch.uint8 if typed is torch.UntypedStorage else typed.dtype
            if numel * torch._utils._element_size(dtype) != self.record_sizes[f"data/{key}"]:
                raise pickle.UnpicklingError(f"{numel} elements are not the size of data/{key}")
        super().load_binpersid()

    def load_append(self) -> None:
        self._check_list(self.stack[-2])
        super().load_append()

    def load_appends(self) -> None:
        self._check_list(self.metastack[-1][-1])
        super().load_appends()

    def _check_allowed(self, function: Any) -> None:
        if not any(function is allowed for allowed in self._allowed.values()):
            raise pickle.UnpicklingError(f"unrecognized function {function}")

    def _check_list(self, owner: Any) -> None:
        if type(owner) is not list:  # any other object may have a method of that name
            raise pickle.UnpicklingError(f"can only append to a list, but got {type(owner)}")


_Unpickler.dispatch = _Opcodes(
    (code[0], getattr(_Unpickler, pickle._Unpickler.dispatch[code[0]].__name__))
    for code in _OPCODES
)


def _allowed_globals() -> dict[str, Any]:
    """Return what files may refer to, by name; `torch.load` itself provides typed storages."""
    rebuild = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter")
    dtypes = {str(value): value for value in vars(torch).values() if type(value) is torch.dtype}
    by_name = [item for item in training_state_globals() if isinstance(item, tuple)]
    classes = [item for item in training_state_globals() if not isinstance(item, tuple)]
    classes += [Counter, OrderedDict, set, torch.Size, torch.device]
    return {
        **dtypes,
        **{f"torch._utils.{name}": getattr(torch._utils, name) for name in rebuild},
        "torch.storage.UntypedStorage": torch.UntypedStorage,
        **{f"{kind.__module__}.{kind.__qualname__}": kind for kind in classes},
        "_codecs.encode": _latin1_bytes,
        **{name: stand_in for stand_in, name in by_name},
    }


def _latin1_bytes(text: str, encoding: str) -> bytes:
    """Stand in for `codecs.encode`, which files call to create bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"Unsupported class codecs.encode ({encoding!r})")
    return text.encode("latin1")
