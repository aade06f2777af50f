"""Count parameters, FLOPs and activations: `python tools/get_flops.py CONFIG`."""

import argparse
import contextlib
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
        nargs="+",
        type=int,
        metavar=("HEIGHT", "WIDTH"),
        help="of the image in pixels; one number for both (default: 800 1280)",
    )
    parser.add_argument(
        "--table", action="store_true", help="count the published models and compare, as Markdown"
    )
    parser.add_argument(
        "--json", dest="as_json", action="store_true", help="print one JSON object instead"
    )
    add_cfg_options(parser)
    parser.set_defaults(configs=Path(__file__).parents[1] / "configs")
    args = parser.parse_args()
    # What libraries log meanwhile doesn't belong to the figures.
    with contextlib.redirect_stdout(sys.stderr):
        text = run("get_flops", args)
    print(text)


if __name__ == "__main__":
    main()
