"""Requirements that pip can't express: several builds of MMDetection and mmcv are accepted."""

from importlib.util import find_spec

from .installation import install_command

_TORCH = ("torch", "torchvision", "timm", "pycocotools", "sklearn", "tabulate", "filelock", "tqdm")
_OPENMMLAB = ("mmdet", "mmengine", "mmcv")


def check_requirements() -> None:
    """Check that PyTorch, MMDetection and the other packages for training are installed.

    Raises:
        ImportError: Packages are missing; the message includes the command that installs them.
    """
    missing = [name for name in (*_TORCH, *_OPENMMLAB) if find_spec(name) is None]
    if not missing:
        return
    if missing == ["mmcv"]:
        remedy = (
            "pip install 'mmcv-lite>=2.1,<2.2' (needs no compiler; vanillanet_det supplies its "
            "ops), or install a compiled mmcv 2.x that fits your PyTorch"
        )
    else:
        extra = "lite" if {*_OPENMMLAB} & {*missing} else "torch"
        remedy = install_command(extra)
    raise ImportError(f"vanillanet_det needs {', '.join(missing)}: {remedy}")
