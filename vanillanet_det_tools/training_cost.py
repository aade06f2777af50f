"""Measure the memory and time of training."""

import argparse
import os
from collections.abc import Sequence

from .command_line import add_renamed, run, show


def main(prog: str, args: Sequence[str]) -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Measure the time of a training step for each of VanillaNet's forms, and the "
        "memory kept for the backward pass, relative to the published form.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--backbone",
        default="vanillanet11",
        help="vanillanet5 to vanillanet13, vanillanet13_x1_5, ...",
    )
    add_renamed(parser, "--arch", "--backbone")
    parser.add_argument("--batch-size", type=int, default=2, help="images per batch")
    parser.add_argument(
        "--input-size", default="256", metavar="SIZE", help="image size: N or HxW, such as 480x640"
    )
    add_renamed(parser, "--size", "--input-size")
    parser.add_argument("--repeats", type=int, default=5, help="number of steps to measure")
    parser.add_argument("--device", default="cpu", help="device to train on, such as cuda")
    parser.add_argument(
        "--beside",
        nargs="+",
        default=[],
        metavar="NAME",
        help="other networks to train beside them: timm:NAME, or YAMLs of Ultralytics",
    )
    # Read when PyTorch is imported: its profiler would log to the terminal.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    show(run("training_cost", parser.parse_args(args)))
