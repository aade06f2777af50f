"""Measure speed: `python tools/benchmark.py CONFIG [CONFIG ...]`."""

import argparse
import contextlib
import sys
from pathlib import Path

from command_line import add_cfg_options, add_renamed, run


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(
        description="Measure the speed of detectors, backbone alone and from image to boxes, "
        "all in turn in one run, against the speed of a matrix product on the same machine."
    )
    parser.add_argument("configs", nargs="*", metavar="CONFIG", help="config file of a detector")
    parser.add_argument(
        "--table",
        action="store_true",
        help="measure the detectors of the published COCO table and their peers, fused, instead",
    )
    parser.add_argument(
        "--weights",
        nargs="+",
        default=[],
        metavar="FILE",
        help="checkpoints, one for each config (default: random, calibrated to find 100 boxes)",
    )
    add_renamed(parser, "--checkpoint", "--weights")
    parser.add_argument(
        "--exported",
        nargs="+",
        default=[],
        metavar="FILE",
        help="files of tools/export.py, .onnx or .xml, to measure as well",
    )
    network = parser.add_argument_group("networks (several values: every combination)")
    network.add_argument(
        "--part",
        nargs="+",
        choices=["backbone", "detector"],
        default=["backbone", "detector"],
        help="backbone alone, or everything from uint8 image to boxes (default: both)",
    )
    network.add_argument(
        "--form",
        nargs="+",
        choices=["train", "deploy"],
        help="training form, or fused (default: both; --table: deploy)",
    )
    network.add_argument(
        "--precision",
        nargs="+",
        choices=["fp32", "bf16", "fp16"],
        default=["fp32"],
        help="precision of weights and features (default: fp32)",
    )
    network.add_argument(
        "--memory-format",
        nargs="+",
        choices=["auto", "contiguous", "channels-last"],
        default=["auto"],
        help="memory layout; auto takes the faster one (default: auto)",
    )
    network.add_argument(
        "--compile", action="store_true", help="also measure with torch.compile, weights frozen"
    )
    network.add_argument(
        "--engine",
        nargs="+",
        choices=["pytorch", "onnxruntime", "openvino"],
        default=["pytorch"],
        help="engines to compute in; all but pytorch export the fused network, up to a minute "
        "each (default: pytorch)",
    )
    images = parser.add_argument_group("images")
    images.add_argument(
        "--images",
        metavar="DIR",
        help="folder of images, of which up to 32 are used (default: two embedded photographs)",
    )
    images.add_argument(
        "--input-size",
        nargs="+",
        metavar="SIZE",
        help="image sizes: N or HxW, such as 320 or 480x640 (default: the config's)",
    )
    images.add_argument(
        "--batch-size", nargs="+", type=int, default=[1], help="images in a batch (default: 1)"
    )
    how = parser.add_argument_group("measurement")
    how.add_argument(
        "--device", default="cpu", help="where to compute, such as cuda (default: cpu)"
    )
    how.add_argument("--threads", type=int, help="CPU threads in every engine (default: PyTorch's)")
    how.add_argument(
        "--seconds",
        type=float,
        default=75.0,
        help="time to measure, at least 5 rounds (default: 75)",
    )
    how.add_argument("--rounds", type=int, help="number of rounds, regardless of time")
    output = parser.add_argument_group("output")
    output.add_argument("--out", metavar="FILE", help="write all figures to a .json or .csv file")
    output.add_argument("--plot", metavar="FILE", help="plot the figures into a .png file")
    output.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    add_cfg_options(parser)
    parser.set_defaults(folder=Path(__file__).parents[1] / "configs")
    args = parser.parse_args()
    # Libraries may log to standard output, which is for the figures.
    with contextlib.redirect_stdout(sys.stderr):
        text = run("benchmark", args)
    print(text)


if __name__ == "__main__":
    main()
