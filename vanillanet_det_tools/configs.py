"""List the configs that come with this project."""

import argparse
from collections.abc import Sequence

from .command_line import locatable_config, run_alone, show


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
    else:
        show(str(own["locate_config"](locatable_config(name))))
