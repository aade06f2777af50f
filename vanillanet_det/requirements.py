"""What pip can't be told: MMDetection, MMEngine and mmcv, in whichever form a user has them."""

from importlib.util import find_spec


def check_requirements() -> None:
    """Check that MMDetection, MMEngine and mmcv are there.

    Raises:
        ImportError: One is missing; the message has the command that installs it.
    """
    missing = [name for name in ("mmdet", "mmengine", "mmcv") if find_spec(name) is None]
    if not missing:
        return
    if missing == ["mmcv"]:
        remedy = (
            "pip install 'mmcv-lite>=2.1,<2.2' (needs no compiler; vanillanet_det supplies its "
            "ops), or install a compiled mmcv 2.x that fits your PyTorch"
        )
    else:
        remedy = "pip install -e '.[lite]' in the folder of vanillanet_det"
    raise ImportError(f"vanillanet_det needs {', '.join(missing)}: {remedy}")
