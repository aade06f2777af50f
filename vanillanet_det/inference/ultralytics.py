"""Networks of Ultralytics, which need an extra that not everyone has."""

import importlib
from types import ModuleType

from mmengine.config import Config
from torch import nn

from ..errors import UserError


def ultralytics_config(path: str) -> Config:
    """Return a config of MMDetection for a YAML or a `.pt` file of Ultralytics.

    Raises:
        UserError: The file can't be used, or Ultralytics isn't installed.
    """
    return load_yolo("detector", path).ultralytics_config(path)


def open_network(path: str) -> nn.Module:
    """Build the network of a YAML, or load that of a `.pt` file, of Ultralytics.

    Raises:
        UserError: The file can't be used, or Ultralytics isn't installed.
    """
    return load_yolo("networks", path).open_network(path)


def load_yolo(module: str, path: str) -> ModuleType:
    """Import a module of `vanillanet_det.yolo`.

    Args:
        module: Its name.
        path: What Ultralytics is needed for, for the message.

    Raises:
        UserError: Ultralytics isn't installed.
    """
    try:
        return importlib.import_module(f"..yolo.{module}", __package__)
    except ImportError as error:
        raise UserError(f"{path}: {error}") from error
