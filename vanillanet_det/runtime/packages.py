"""Optional packages, which are imported when they are needed."""

import importlib
import sys
from types import ModuleType

from ..errors import UserError

_DISTRIBUTIONS = {"cv2": "opencv-python-headless"}
_SEND_TELEMETRY = ("openvino", "nncf")


def load(name: str) -> ModuleType:
    """Import an optional package.

    Args:
        name: `cv2`, `onnxruntime`, `openvino`, `nncf` or `filelock`, or a module in one of them.

    Raises:
        UserError: The package can't be imported; the message gives the command that installs it.
    """
    distribution = name.partition(".")[0]
    if distribution in _SEND_TELEMETRY:
        # They send telemetry through this package; without it, they send none.
        sys.modules.setdefault("openvino_telemetry", None)
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f"{name} is needed and can't be imported ({error}); "
            f"pip install {_DISTRIBUTIONS.get(distribution, distribution)}"
        ) from error
