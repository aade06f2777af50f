"""Requirements that pip can't express: several builds of MMDetection and mmcv are accepted."""

import importlib
import pickle
import re
import time
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Optional

from .installation import install_command

_TORCH = ("torch", "torchvision", "timm", "pycocotools", "sklearn", "tabulate", "filelock", "tqdm")
_OPENMMLAB = ("mmdet", "mmengine", "mmcv")
_OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python")
_ATTEMPTS, _PAUSE_S = 20, 0.1


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


def import_yapf() -> None:
    """Import yapf, which MMEngine uses, as soon as its cache can be read.

    yapf 0.43 puts its cache in place before the last bytes are written. Of processes that start
    together after an installation, as ranks do, one may read what another one is writing.

    Raises:
        ImportError: The cache stays unreadable, as after a full disk.
    """
    for _ in range(_ATTEMPTS):
        try:
            importlib.import_module("yapf")
        except (EOFError, pickle.UnpicklingError) as error:
            reason = error
            time.sleep(_PAUSE_S)
        else:
            return
    raise ImportError(
        f"yapf, which MMEngine needs, can't read its cache ({reason}); delete the folder YAPF from "
        "your cache folder (~/.cache/YAPF on Linux)"
    )


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
