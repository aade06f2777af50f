"""Convert or fuse a checkpoint."""

import argparse
from collections.abc import Sequence

from .command_line import run, show


def main(prog: str, args: Sequence[str]) -> None:
    """Parse the command line and convert."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Convert a checkpoint of VanillaNet or GResNet between the layouts of the "
        "published classifiers, MMDetection 2.x detectors and this project, or fuse its network.",
    )
    parser.add_argument("source", help="checkpoint file, or its URL")
    parser.add_argument("target", help="file to write")
    parser.add_argument("--deploy", action="store_true", help="fuse the network")
    parser.add_argument(
        "--merge",
        action="store_true",
        help="convert the network to the merged form, for fine-tuning",
    )
    parser.add_argument(
        "--layout",
        choices=["mmengine", "published"],
        default="mmengine",
        help="layout of the target file (default: mmengine, which this project uses)",
    )
    parser.add_argument("--force", action="store_true", help="overwrite an existing target")
    parser.add_argument("--verbose", action="store_true", help="show the error of each layer")
    show(run("convert_checkpoint", parser.parse_args(args)))
