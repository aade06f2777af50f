"""Reads config files, by path or by name, and the names of types in them."""

import re
import zipfile
from pathlib import Path
from typing import Any, Union

from mmengine.config import Config

from .errors import UserError
from .installation import command, locate_config, no_such_config


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
        raise UserError(no_such_config(str(name)))
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


def is_ultralytics(name: Union[str, Path]) -> bool:
    """Return whether a name is a model YAML of Ultralytics, or one of its `.pt` files.

    Nothing in a file is run.
    """
    path = Path(name)
    if path.suffix.lower() == ".pt":
        try:
            with zipfile.ZipFile(path) as file:
                pickles = [entry for entry in file.namelist() if entry.endswith("/data.pkl")]
                return any(b"ultralytics" in file.read(entry) for entry in pickles)
        except (OSError, zipfile.BadZipFile):
            return False
    if path.suffix.lower() not in (".yaml", ".yml"):
        return False
    if not path.is_file():  # a name, which Ultralytics or this project knows
        return path.name == str(name) and path.name.startswith("yolo")
    text = path.read_text(errors="replace")
    return all(re.search(rf"^{key}:", text, re.MULTILINE) for key in ("backbone", "head"))


def type_name(node: Any) -> str:
    """Return the name of a config node's type, without the scope of its registry.

    Args:
        node: A dict, or an object built from one.

    Returns:
        A name such as `AmpOptimWrapper`; '' for a dict without a type.
    """
    kind = node.get("type", "") if isinstance(node, dict) else type(node)
    return str(getattr(kind, "__name__", kind)).rpartition(".")[2]
