"""Measure speed."""

import argparse
import contextlib
import sys
from collections.abc import Sequence

from .command_line import (
    add_cfg_options,
    add_config,
    add_renamed,
    locatable_network,
    run,
    show,
)


def main(prog: str, args: Sequence[str]) -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Measure the speed of detectors, both of the backbone alone and from image "
        "to boxes. All networks are timed in turns in one run, and compared with a matrix product "
        "on the same machine.",
    )
    add_config(
        parser,
        "configs",
        nargs="*",
        type=locatable_network,
        help="config files or names (vanillanet-det configs), or Ultralytics' YAMLs and .pt files",
    )
    parser.add_argument(
        "--table",
        nargs="?",
        const="detectors",
        choices=["detectors", "classifiers", "gresnet"],
        help="measure the fused detectors of the published COCO table and their peers instead, "
        "the classifiers of the ImageNet table and theirs, or GResNet-50 and its peers in batches "
        "of 64 (default: detectors)",
    )
    parser.add_argument(
        "--weights",
        nargs="+",
        default=[],
        metavar="FILE",
        help="checkpoints, one per config (default: random weights, calibrated to find 100 boxes)",
    )
    add_renamed(parser, "--checkpoint", "--weights")
    parser.add_argument(
        "--exported",
        nargs="+",
        default=[],
        metavar="FILE",
        help="exported .onnx or .xml files to measure as well (written by export)",
    )
    network = parser.add_argument_group("networks (every combination of the values is measured)")
    network.add_argument(
        "--part",
        nargs="+",
        choices=["backbone", "detector"],
        help="the backbone alone, or the whole detector from uint8 image to boxes (default: both)",
    )
    network.add_argument(
        "--form",
        nargs="+",
        choices=["train", "deploy"],
        help="training form or fused form (default: both; with --table: deploy)",
    )
    network.add_argument(
        "--precision",
        nargs="+",
        choices=["fp32", "bf16", "fp16"],
        default=["fp32"],
        help="precision of the weights and features (default: fp32)",
    )
    network.add_argument(
        "--memory-format",
        nargs="+",
        choices=["auto", "contiguous", "channels-last"],
        default=["auto"],
        help="memory layout; auto uses the faster one (default: auto)",
    )
    network.add_argument(
        "--compile", action="store_true", help="also measure with torch.compile and frozen weights"
    )
    network.add_argument(
        "--cuda-graph", action="store_true", help="also measure with CUDA graphs (on a GPU)"
    )
    network.add_argument(
        "--engine",
        nargs="+",
        choices=["pytorch", "onnxruntime", "openvino"],
        default=["pytorch"],
        help="inference engines; all but pytorch require an export of the fused network, which "
        "takes up to a minute each (default: pytorch)",
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
        "--batch-size",
        nargs="+",
        type=int,
        help="images per batch (default: 1, or 64 with --table gresnet)",
    )
    how = parser.add_argument_group("measurement")
    how.add_argument(
        "--device", default="cpu", help="device to run on, such as cuda (default: cpu)"
    )
    how.add_argument("--threads", type=int, help="number of CPU threads (default: PyTorch's)")
    how.add_argument(
        "--seconds",
        type=float,
        default=75.0,
        help="measuring time; runs at least 5 rounds (default: 75)",
    )
    how.add_argument("--rounds", type=int, help="number of rounds; overrides --seconds")
    output = parser.add_argument_group("output")
    output.add_argument("--out", metavar="FILE", help="write all figures to a .json or .csv file")
    output.add_argument("--plot", metavar="FILE", help="plot the figures to a .png file")
    output.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    add_cfg_options(parser)
    arguments = parser.parse_args(args)
    # Libraries may log to standard output, which is reserved for the figures.
    with contextlib.redirect_stdout(sys.stderr):
        text = run("benchmark", arguments)
    show(text)
