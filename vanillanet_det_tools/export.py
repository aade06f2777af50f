"""Export a detector to run without PyTorch."""

import argparse
import contextlib
import sys
from collections.abc import Sequence

from .command_line import add_cfg_options, add_config, run, show


def main(prog: str, args: Sequence[str]) -> None:
    """Parse the command line, export the detector and print a report."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Export a fused detector, from uint8 images to boxes, to ONNX or OpenVINO. The "
        "file is compared with PyTorch before it is moved into place.",
    )
    add_config(parser)
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="checkpoint in any network form")
    parser.add_argument(
        "--out", metavar="FILE", help="output file, .onnx or .xml (default: next to the checkpoint)"
    )
    parser.add_argument("--format", choices=["onnx", "openvino"], default="onnx")
    parser.add_argument(
        "--precision",
        choices=["fp32", "bf16", "fp16", "int8"],
        default="fp32",
        help="default: fp32",
    )
    graph = parser.add_argument_group("contents of the file")
    graph.add_argument(
        "--part",
        choices=["detector", "backbone"],
        default="detector",
        help="the whole detector (default), or only its backbone",
    )
    graph.add_argument(
        "--no-nms",
        dest="nms",
        action="store_false",
        help="leave non-maximum suppression to the runtime",
    )
    graph.add_argument(
        "--input-size", metavar="SIZE", help="fixed size, 320 or HEIGHTxWIDTH (default: any)"
    )
    graph.add_argument("--batch-size", type=int, help="fixed batch size (default: any)")
    checks = parser.add_argument_group("checks")
    checks.add_argument(
        "--images",
        metavar="DIR",
        help="images to compare on (default: some of the config's test images, else embedded ones)",
    )
    checks.add_argument(
        "--calibration",
        metavar="DIR",
        help="calibration images for int8 (default: the training images)",
    )
    checks.add_argument(
        "--calibration-images",
        type=int,
        default=300,
        help="maximum number of calibration images (default: 300)",
    )
    checks.add_argument(
        "--max-drop",
        type=float,
        default=0.01,
        help="maximum drop in AP from fp32 to int8, from 0 to 1 (default: 0.01)",
    )
    add_cfg_options(parser)
    arguments = parser.parse_args(args)
    # Libraries may log to standard output, which is reserved for the report.
    with contextlib.redirect_stdout(sys.stderr):
        text = run("export", arguments)
    show(text)
