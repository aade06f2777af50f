"""Measure speed: `python tools/benchmark.py CONFIG [CONFIG ...]`."""

import argparse
import contextlib
import sys
from pathlib import Path

from command_line import add_cfg_options, run


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(
        description="Measure how fast detectors are, backbone alone and from image to boxes, "
        "all in turn in one run, against what a matrix product reaches on the same machine."
    )
    parser.add_argument("configs", nargs="*", metavar="CONFIG", help="config file of a detector")
    parser.add_argument(
        "--table",
        action="store_true",
        help="measure the published COCO table's detectors and their peers, fused, instead",
    )
    parser.add_argument(
        "--checkpoint",
        nargs="+",
        default=[],
        metavar="FILE",
        help="weights, one for each config; random ones otherwise, set to find 100 boxes",
    )
    parser.add_argument(
        "--exported",
        nargs="+",
        default=[],
        metavar="FILE",
        help="files of tools/export.py, .onnx or .xml, to measure on the same images",
    )
    network = parser.add_argument_group("networks (several values: every combination)")
    network.add_argument(
        "--part",
        nargs="+",
        choices=["backbone", "detector"],
        default=["backbone", "detector"],
        help="backbone alone, or from uint8 image to boxes (default: both)",
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
        help="of weights and features (default: fp32)",
    )
    network.add_argument(
        "--memory-format",
        nargs="+",
        choices=["auto", "contiguous", "channels-last"],
        default=["auto"],
        help="layout; auto tries both and takes the faster (default: auto)",
    )
    network.add_argument(
        "--compile", action="store_true", help="measure with torch.compile, too, weights frozen"
    )
    network.add_argument(
        "--engine",
        nargs="+",
        choices=["pytorch", "onnxruntime", "openvino"],
        default=["pytorch"],
        help="for others than pytorch (default) the fused network is exported, a minute each",
    )
    images = parser.add_argument_group("images")
    images.add_argument(
        "--images",
        metavar="DIR",
        help="folder of pictures, of which up to 32 are used (default: two photographs)",
    )
    images.add_argument(
        "--input-size",
        nargs="+",
        metavar="SIZE",
        help="of the images: 320, or HEIGHTxWIDTH (default: as the config evaluates)",
    )
    images.add_argument(
        "--batch-size", nargs="+", type=int, default=[1], help="images in a batch (default: 1)"
    )
    how = parser.add_argument_group("measurement")
    how.add_argument("--device", default="cpu", help="where to compute, such as cuda")
    how.add_argument("--threads", type=int, help="of the CPU, in every engine (PyTorch's)")
    how.add_argument(
        "--seconds", type=float, default=75.0, help="to measure, in at least 5 rounds (default: 75)"
    )
    how.add_argument("--rounds", type=int, help="measure so many, whatever they take")
    output = parser.add_argument_group("output")
    output.add_argument("--out", metavar="FILE", help="write all figures to a .json or .csv file")
    output.add_argument("--plot", metavar="FILE", help="draw them into a .png file")
    output.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    add_cfg_options(parser)
    parser.set_defaults(folder=Path(__file__).parents[1] / "configs")
    args = parser.parse_args()
    # What libraries log meanwhile doesn't belong to the figures.
    with contextlib.redirect_stdout(sys.stderr):
        text = run("benchmark", args)
    print(text)


if __name__ == "__main__":
    main()
