"""Count parameters, FLOPs and activations."""

import argparse
import contextlib
import re
import sys
from collections.abc import Sequence

from .command_line import add_cfg_options, add_config, run, show, stop


def main(prog: str, args: Sequence[str]) -> None:
    """Parse the command line and print the counts."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Count parameters, FLOPs (multiply-accumulates) and activations of a model, "
        "in its training form and fused.",
    )
    add_config(parser, nargs="?")
    parser.add_argument(
        "--input-size",
        metavar="SIZE",
        help="image size: N or HxW, such as 320 or 480x640 (default: 800x1280)",
    )
    parser.add_argument(
        "--table",
        action="store_true",
        help="count the published models and compare the counts with the paper's, as Markdown",
    )
    parser.add_argument(
        "--json", dest="as_json", action="store_true", help="print a JSON object instead of text"
    )
    add_cfg_options(parser)
    _refuse_two_numbers(args)
    arguments = parser.parse_args(args)
    # Libraries may log to standard output, which is reserved for the figures.
    with contextlib.redirect_stdout(sys.stderr):
        text = run("get_flops", arguments)
    show(text)


def _refuse_two_numbers(args: Sequence[str]) -> None:
    """Reject two numbers, as in earlier versions: the second one would become the config."""
    old = re.search(r"(?<!\S)--i[a-z-]*[ =](\d+) (\d+)(?!\S)", " ".join(args))
    if old:
        new = f"--input-size {old[1]}x{old[2]}"
        stop(f"--input-size {old[1]} {old[2]}: expected one value; use {new}")
