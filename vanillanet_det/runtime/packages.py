"""Packages that not everybody has, imported when they are needed."""

import importlib
import sys
from types import ModuleType

from ..errors import UserError

_DISTRIBUTIONS = {"cv2": "opencv-python-headless"}
_REPORTING = ("openvino", "nncf")


def load(name: str) -> ModuleType:
    """Import a package, which takes a tenth of a second the first time.

    Args:
        name: `cv2`, `onnxruntime`, `openvino` or `nncf`, or a part of it.

    Raises:
        UserError: It isn't there, or can't be loaded here; the message has the command that
            installs it.
    """
    distribution = name.partition(".")[0]
    if distribution in _REPORTING:
        # These tell their makers over the network that they are used. Without this package,
        # they don't.
        sys.modules.setdefault("openvino_telemetry", None)
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f"{name} is needed and can't be imported ({error}); "
            f"pip install {_DISTRIBUTIONS.get(distribution, distribution)}"
        ) from error
