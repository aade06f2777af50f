"""`vanillanet-yolo`: Ultralytics' command, `yolo`, with YOLO11-VanillaNet registered."""

import importlib

from .command_line import stop


def main() -> None:
    """Run Ultralytics' command with the arguments of this process."""
    try:
        importlib.import_module("vanillanet_det.yolo")
        errors = importlib.import_module("vanillanet_det.errors")
        command = importlib.import_module("ultralytics.cfg").entrypoint
    except ImportError as error:
        stop(str(error))
    try:
        command()
    except errors.UserError as error:
        stop(str(error))
