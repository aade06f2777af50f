"""The stand-in for `mmcv._ext`, the compiled module that mmcv-lite lacks."""

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
    "(https://mmcv.readthedocs.io/en/latest/get_started/installation.html) in place of mmcv-lite"
)


class SuppliedExt(ModuleType):
    """The module object: ops that are supplied, and a refusal for every other name.

    `mmcv.ops` asserts at import that each op it knows exists, so an op that isn't supplied
    must fail when it is called and not before.
    """

    def __getattr__(self, name: str) -> Callable[..., Any]:
        # Python and its tools probe modules for underscored names; no op has one.
        if name.startswith("_"):
            raise AttributeError(f"module {NAME!r} has no attribute {name!r}")

        def refuse(*args: Any, **kwargs: Any) -> None:
            raise NotImplementedError(f"mmcv op {name!r} is not supplied on mmcv-lite; {_REMEDY}")

        refuse.__name__ = refuse.__qualname__ = name
        return refuse


class _Loader(Loader):
    """Gives the module a spec, so that the import system finds it."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return SuppliedExt(spec.name, "mmcv's ops on torchvision and PyTorch.")

    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(
            OPS,
            get_compiler_version=get_compiler_version,
            get_compiling_cuda_version=get_compiling_cuda_version,
        )


def get_compiler_version() -> str:
    """Return what mmcv reports as its compiler: none, nothing is compiled.

    Returns:
        The text that `mmcv.utils.collect_env` shows.
    """
    return f"none: ops from torchvision {torchvision.__version__}"


def get_compiling_cuda_version() -> str:
    """Return what mmcv reports as its CUDA version: that of torchvision's kernels.

    Returns:
        The text that `mmcv.utils.collect_env` shows.
    """
    return f"ops from torchvision {torchvision.__version__}, CUDA {torch.version.cuda}"


def supply_ext() -> bool:
    """Give mmcv-lite the module `mmcv._ext`, so that `mmcv.ops` imports and works.

    Call it before anything imports `mmcv.ops`. A compiled `mmcv._ext` is found without
    importing mmcv, and left alone. Calling again changes nothing.

    Returns:
        True if this package supplies the ops, False if mmcv has its own.

    Raises:
        ModuleNotFoundError: There is no mmcv at all.
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
