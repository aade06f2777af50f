"""Requirements that pip can't express: several builds of MMDetection and mmcv are accepted."""

import re
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Optional

from .installation import install_command

_TORCH = ("torch", "torchvision", "timm", "pycocotools", "sklearn", "tabulate", "filelock", "tqdm")
_OPENMMLAB = ("mmdet", "mmengine", "mmcv")
_OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python")


def check_requirements() -> None:
    """Check that PyTorch, MMDetection and the other packages for training are installed.

    Raises:
        ImportError: Packages are missing, or NumPy is too new for PyTorch; the message includes the
            command that installs what fits.
    """
    missing = [name for name in (*_TORCH, *_OPENMMLAB) if find_spec(name) is None]
    if not missing:
        return _check_numpy()
    if missing == ["mmcv"]:
        remedy = (
            "pip install 'mmcv-lite>=2.1,<2.2' (needs no compiler; vanillanet_det supplies its "
            "ops), or install a compiled mmcv 2.x that fits your PyTorch"
        )
    else:
        extra = "lite" if {*_OPENMMLAB} & {*missing} else "torch"
        remedy = install_command(extra)
    raise ImportError(f"vanillanet_det needs {', '.join(missing)}: {remedy}")


def _check_numpy() -> None:
    """Check that PyTorch can use NumPy, from their versions: importing them prints a traceback."""
    torch, numpy = _version("torch"), _version("numpy")
    if torch and numpy and torch < (2, 3) and numpy >= (2,):
        # Newer packages of OpenCV, which need NumPy 2, would bring it back.
        opencv = [f"'{name}<4.12'" for name in _OPENCV if (_version(name) or ()) >= (4, 12)]
        raise ImportError(
            f"vanillanet_det: PyTorch {version('torch')} can't use NumPy {version('numpy')}, only "
            f"NumPy 1: {' '.join(['pip install', repr('numpy<2'), *opencv])}"
        )


def _version(name: str) -> Optional[tuple[int, ...]]:
    """Return the first two numbers of an installed package's version."""
    try:
        return tuple(int(number) for number in re.findall(r"\d+", version(name))[:2])
    except PackageNotFoundError:
        return None
