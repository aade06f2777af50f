"""Confirm the project on a GPU."""

import argparse
import contextlib
import sys
from collections.abc import Sequence

from .command_line import run, show


def main(prog: str, args: Sequence[str]) -> None:
    """Parse the command line, run the checks and print them; exit with status 1 if one failed."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Compare operators, fusion, training, ranks, CUDA graphs and ONNX Runtime on a "
        "GPU with the CPU, and measure detectors. Exit status 0: all passed or were skipped; 1: a "
        "check failed; 2: the checks could not run.",
    )
    parser.add_argument(
        "--device",
        default="cuda",
        help="cuda or cuda:1; cpu checks what needs no GPU (default: cuda)",
    )
    parser.add_argument(
        "--benchmark",
        nargs="*",
        metavar="CONFIG",
        help="configs to measure in each precision, with and without CUDA graphs; none of them to "
        "skip it (default: RetinaNets with VanillaNet-11, ResNet-50, Swin-T and ConvNeXtV2-N)",
    )
    parser.add_argument("--seconds", type=float, default=75.0, help="measuring time (default: 75)")
    parser.add_argument(
        "--out", metavar="FILE", help="write everything to a .json file, to attach to an issue"
    )
    arguments = parser.parse_args(args)
    # Libraries may log to standard output, which is reserved for the table.
    with contextlib.redirect_stdout(sys.stderr):
        text, has_passed = run("gpu_check", arguments)
    show(text)
    sys.exit(0 if has_passed else 1)
