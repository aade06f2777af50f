"""List the configs that come with this project."""

import argparse
from collections.abc import Sequence

from .command_line import run_alone, show, stop


def main(prog: str, args: Sequence[str]) -> None:
    """Parse the command line, and print the folder and the names, or one config's path."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="List the configs that come with this project, which every verb takes by "
        "name. A config of your own that builds on one needs its path: "
        "_base_ = '<path printed by %(prog)s NAME>'.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="print the path of this config")
    name = parser.parse_args(args).name
    own = run_alone("installation")
    if name is None:
        show("\n".join([str(own["configs_folder"]()), *own["config_names"]()]))
    elif (path := own["locate_config"](name)) is not None:
        show(str(path))
    else:
        closest = ", ".join(own["closest_configs"](name))
        stop(f"{name}: there is no such config" + (f"; the closest are {closest}" * bool(closest)))
