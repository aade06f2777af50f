"""Compare VanillaNet's ideas with networks that lack them, in small."""

import argparse
from collections.abc import Sequence

from .command_line import run


def main(prog: str, args: Sequence[str]) -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Train small networks with and without VanillaNet's ideas on handwritten "
        "digits on photographs, and write a table and a plot. An interrupted call is continued by "
        "the same one.",
    )
    parser.add_argument("--out", default="work_dirs/ablation", help="(default: work_dirs/ablation)")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each network (default: 3)")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time (default: 2)")
    parser.add_argument(
        "options", nargs="*", metavar="OPTION", help="after --: options of pretrain, for all runs"
    )
    run("ablation", parser.parse_args(args))
