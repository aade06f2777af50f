"""Whether Ultralytics is installed, and a version that this package works with."""

import re
from importlib.metadata import PackageNotFoundError, version

from ..installation import install_command

LICENSE = "Ultralytics is under the AGPL-3.0, which also applies to models that are made with it"
_LEAST = (8, 3, 70)
_BELOW = (8, 5)


def check_ultralytics() -> None:
    """Check that a version of Ultralytics is installed that is known to work.

    Raises:
        ImportError: It is missing, or another version; the message includes the command that
            installs what fits.
    """
    try:
        found = version("ultralytics")
    except PackageNotFoundError:
        found = ""
    numbers = tuple(int(number) for number in re.findall(r"\d+", found)[:3])
    if not _LEAST <= numbers < _BELOW:
        what = f"Ultralytics {found}" if found else "no Ultralytics"
        raise ImportError(
            f"vanillanet_det.yolo: found {what}; expected 8.3.70 or later, or 8.4: "
            f"{install_command('yolo')} ({LICENSE})"
        )
