"""Replacement for `mmcv._ext`, the compiled module that mmcv-lite lacks."""

import importlib.util
import sys
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Callable, Optional

import torch
import torchvision

from .registry import OPS

NAME = "mmcv._ext"
_REMEDY = (
    "install a compiled mmcv 2.x that fits your PyTorch and CUDA "
    "(https://mmcv.readthedocs.io/en/latest/get_started/installation.html) instead of "
    "mmcv-lite"
)


class SuppliedExt(ModuleType):
    """Module with the supplied ops, and a function that raises an error for every other op.

    When `mmcv.ops` is imported, it asserts that every op exists, so an op that isn't supplied must
    fail only when it is called.
    """

    def __getattr__(self, name: str) -> Callable[..., Any]:
        # Python and its tools look up names with an underscore, which no op has.
        if name.startswith("_"):
            raise AttributeError(f"module {NAME!r} has no attribute {name!r}")

        def refuse(*args: Any, **kwargs: Any) -> None:
            raise NotImplementedError(
                f"mmcv op {name!r} is not available with mmcv-lite; {_REMEDY}"
            )

        refuse.__name__ = refuse.__qualname__ = name
        return refuse


class _Loader(Loader):
    """Loader of the module, so that the import system can find it."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return SuppliedExt(spec.name, "mmcv's ops, built on top of torchvision and PyTorch.")

    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(
            OPS,
            get_compiler_version=get_compiler_version,
            get_compiling_cuda_version=get_compiling_cuda_version,
        )


def get_compiler_version() -> str:
    """Return the text that mmcv reports as its compiler: none, because nothing is compiled.

    Returns:
        The text that `mmcv.utils.collect_env` shows.
    """
    return f"none: ops from torchvision {torchvision.__version__}"


def get_compiling_cuda_version() -> str:
    """Return the text that mmcv reports as its CUDA version: the version used by torchvision.

    Returns:
        The text that `mmcv.utils.collect_env` shows.
    """
    return f"ops from torchvision {torchvision.__version__}, CUDA {torch.version.cuda}"


def supply_ext() -> bool:
    """Add the module `mmcv._ext` to mmcv-lite, so that `mmcv.ops` can be imported and used.

    Call this function before anything imports `mmcv.ops`. A compiled `mmcv._ext` is detected
    without importing mmcv, and is not replaced. A second call changes nothing.

    Returns:
        True if this package supplies the ops, False if mmcv has its own.

    Raises:
        ModuleNotFoundError: mmcv is not installed.
    """
    if NAME in sys.modules:
        return isinstance(sys.modules[NAME], SuppliedExt)
    if _find_compiled() is not None:
        return False
    mmcv = importlib.import_module("mmcv")
    spec = ModuleSpec(NAME, _Loader(), origin=__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[NAME] = module
    mmcv._ext = module
    return True


def _find_compiled() -> Optional[ModuleSpec]:
    package = importlib.util.find_spec("mmcv")
    if package is None:
        raise ModuleNotFoundError("No module named 'mmcv'", name="mmcv")
    return PathFinder.find_spec(NAME, package.submodule_search_locations)
