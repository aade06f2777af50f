"""Count parameters, FLOPs and activations: `python tools/get_flops.py CONFIG`."""

import argparse
import contextlib
import re
import sys
from pathlib import Path

from command_line import add_cfg_options, run


def main() -> None:
    """Parse the command line, count and print."""
    parser = argparse.ArgumentParser(
        description="Count parameters, FLOPs (multiply-accumulates) and activations of a model, "
        "in its training form and fused."
    )
    parser.add_argument("config", nargs="?", help="config file of any detector")
    parser.add_argument(
        "--input-size",
        metavar="SIZE",
        help="image size: N or HxW, such as 320 or 480x640 (default: 800x1280)",
    )
    parser.add_argument(
        "--table", action="store_true", help="count the published models and compare, as Markdown"
    )
    parser.add_argument(
        "--json", dest="as_json", action="store_true", help="print one JSON object instead"
    )
    add_cfg_options(parser)
    parser.set_defaults(configs=Path(__file__).parents[1] / "configs")
    _refuse_two_numbers(parser)
    args = parser.parse_args()
    # Libraries may log to standard output, which is for the figures.
    with contextlib.redirect_stdout(sys.stderr):
        text = run("get_flops", args)
    print(text)


def _refuse_two_numbers(parser: argparse.ArgumentParser) -> None:
    """Answer the form of earlier versions, whose second number would be taken for a config."""
    old = re.search(r"(?<!\S)--i[a-z-]*[ =](\d+) (\d+)(?!\S)", " ".join(sys.argv[1:]))
    if old:
        new = f"--input-size {old[1]}x{old[2]}"
        parser.exit(2, f"error: --input-size {old[1]} {old[2]}: expected one value; give {new}\n")


if __name__ == "__main__":
    main()
