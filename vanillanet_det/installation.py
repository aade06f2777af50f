"""Where this project's configs are, and what its command is called.

The command runs this module on its own, because importing the package takes seconds. It therefore
needs the standard library alone.
"""

import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Optional

__version__ = "0.1.0"

_PACKAGE = Path(__file__).resolve().parent
_SHIPPED = _PACKAGE / ".mim" / "configs"  # where MMDetection's wheel has its own


def is_checkout() -> bool:
    """Return whether the package is used from its repository, installed or not."""
    return not _SHIPPED.is_dir()


def configs_folder() -> Path:
    """Return the folder of this project's configs, in a wheel or in the repository."""
    return _PACKAGE.parent / "configs" if is_checkout() else _SHIPPED


def config_names() -> list[str]:
    """Return the names of this project's configs, without `.py`."""
    return sorted(path.stem for path in configs_folder().glob("*.py"))


def locate_config(name: str) -> Optional[Path]:
    """Find a config by its path or its name.

    Args:
        name: A file, or the name of one of this project's configs, with or without `configs/` and
            `.py`. A file that exists takes precedence.

    Returns:
        The config's path; None if there is no such config.
    """
    path = Path(name)
    if path.is_file():
        return path
    parts = path.parts[1:] if path.parts[:1] == ("configs",) else path.parts
    if not parts or path.is_absolute() or ".." in parts:
        return None
    own = configs_folder().joinpath(*parts[:-1], f"{parts[-1].removesuffix('.py')}.py")
    return own if own.is_file() else None


def no_such_config(name: str) -> str:
    """Return the message for a config that `locate_config` doesn't find."""
    closest = ", ".join(get_close_matches(Path(name).stem, config_names()))
    hint = f"; the closest configs of vanillanet_det are {closest}" if closest else ""
    return f"config {name}: there is no such file{hint} ({command('configs')} lists all)"


def install_command(extras: str) -> str:
    """Return how to install what the package needs for some purpose.

    Args:
        extras: One or more extras of the package, such as `lite,export`.
    """
    if is_checkout():
        return f"pip install -e '.[{extras}]' in the folder of vanillanet_det"
    return f"pip install 'vanillanet_det[{extras}]'"  # adds to the version that is installed


def command(verb: str) -> str:
    """Return the command line that runs a verb, as the user started this process.

    Args:
        verb: A verb of the command, such as `check-data`.

    Returns:
        `vanillanet-det VERB`, or the script in `tools/` or the module that the process runs.
    """
    started = Path(sys.argv[0])
    if started.suffix == ".py" and started.resolve().parent == _PACKAGE.parent / "tools":
        return f"python {started.with_name(verb.replace('-', '_'))}.py"
    if started.name == "__main__.py" and started.parent.name == "vanillanet_det_tools":
        return f"python -m vanillanet_det_tools {verb}"  # what torchrun needs
    return f"vanillanet-det {verb}"
