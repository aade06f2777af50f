"""Write a file that detects without PyTorch: `python tools/export.py CONFIG CHECKPOINT`."""

import argparse
import contextlib
import sys

from command_line import add_cfg_options, run


def main() -> None:
    """Parse the command line, export and report."""
    parser = argparse.ArgumentParser(
        description="Write a detector, fused, from uint8 image to boxes, as one file for ONNX "
        "Runtime or OpenVINO, and compare it with PyTorch before it takes its name."
    )
    parser.add_argument("config", metavar="CONFIG", help="config file of the detector")
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="its checkpoint, in any form")
    parser.add_argument(
        "--out", metavar="FILE", help="the file, .onnx or .xml (default: beside the checkpoint)"
    )
    parser.add_argument("--format", choices=["onnx", "openvino"], default="onnx")
    parser.add_argument(
        "--precision",
        choices=["fp32", "bf16", "fp16", "int8"],
        default="fp32",
        help="default: fp32",
    )
    graph = parser.add_argument_group("what is in the file")
    graph.add_argument(
        "--part",
        choices=["detector", "backbone"],
        default="detector",
        help="the whole detector (default), or its backbone's features",
    )
    graph.add_argument(
        "--no-nms",
        dest="nms",
        action="store_false",
        help="leave non-maximum suppression to whoever runs the file, as the runtime here does",
    )
    graph.add_argument(
        "--input-size", metavar="SIZE", help="fix it: 320, or HEIGHTxWIDTH (default: any)"
    )
    graph.add_argument("--batch-size", type=int, help="fix it (default: any)")
    checks = parser.add_argument_group("checks")
    checks.add_argument(
        "--images",
        metavar="DIR",
        help="pictures to compare on (default: embedded ones, and some of the config's)",
    )
    checks.add_argument(
        "--calibration",
        metavar="DIR",
        help="pictures to learn the ranges of int8 from (default: those of the training)",
    )
    checks.add_argument(
        "--calibration-images", type=int, default=300, help="how many, at most (default: 300)"
    )
    checks.add_argument(
        "--max-drop",
        type=float,
        default=0.01,
        help="the most AP that int8 may lose, from 0 to 1 (default: 0.01)",
    )
    add_cfg_options(parser)
    args = parser.parse_args()
    # What libraries log meanwhile doesn't belong to the report.
    with contextlib.redirect_stdout(sys.stderr):
        text = run("export", args)
    print(text)


if __name__ == "__main__":
    main()
