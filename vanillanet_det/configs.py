"""Reads config files, by path or by name, with a one-line error for every mistake."""

from pathlib import Path
from typing import Union

from mmengine.config import Config

from .errors import UserError
from .installation import closest_configs, command, locate_config


def read_config_file(name: Union[str, Path]) -> Config:
    """Read a config.

    Args:
        name: The config's file, or the name of one of this project's configs, such as
            `retinanet_vanillanet11_coco`.

    Raises:
        UserError: There is no such config, or the file isn't one.
    """
    path = locate_config(str(name))
    if path is None:
        closest = ", ".join(closest_configs(str(name)))
        hint = f"; the closest configs of vanillanet_det are {closest}" if closest else ""
        raise UserError(
            f"config {name}: there is no such file{hint} ({command('configs')} lists all)"
        )
    try:
        return Config.fromfile(path)
    except Exception as error:  # a config is Python code, which may raise anything
        if "vanillanet_det::" in path.read_text(errors="replace"):
            raise UserError(
                f"config {name}: MMEngine reads only OpenMMLab's packages by `package::` names; "
                f"instead of vanillanet_det::NAME, write the path that {command('configs')} NAME "
                "prints"
            ) from error
        raise UserError(f"config {name}: {type(error).__name__}: {error}") from error
