"""Check a config, its datasets and its weights."""

import argparse
import contextlib
import sys
from collections.abc import Sequence

from .command_line import add_cfg_options, add_config, add_renamed, run, show


def main(prog: str, args: Sequence[str]) -> None:
    """Parse the command line, run the checks and print them; exit with status 1 on errors."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Find mistakes in a config, its datasets and its weights before training. "
        "Exit status 0: no errors; 1: errors; 2: the check could not run.",
    )
    add_config(parser)
    parser.add_argument(
        "--no-images",
        dest="images",
        action="store_false",
        help="only check that the images exist, without decoding them",
    )
    parser.add_argument(
        "--json", dest="as_json", action="store_true", help="print a JSON object instead of text"
    )
    parser.add_argument(
        "--near-duplicates",
        metavar="MODEL",
        help="also find evaluation images that resemble training images, by the last feature of a "
        "classifier's or detector's checkpoint, or of timm:NAME",
    )
    add_renamed(parser, "--no-pictures", "--no-images")
    add_cfg_options(parser)
    arguments = parser.parse_args(args)
    # Libraries log to standard output, which is reserved for the findings.
    with contextlib.redirect_stdout(sys.stderr):
        text, is_clean = run("check_data", arguments)
    show(text)
    sys.exit(0 if is_clean else 1)
