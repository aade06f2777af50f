"""Evaluate a detector."""

from argparse import BooleanOptionalAction
from collections.abc import Sequence

from .command_line import make_parser, run


def main(prog: str, args: Sequence[str]) -> None:
    """Parse the command line and evaluate."""
    parser = make_parser(prog, "Evaluate a detector.")
    parser.add_argument(
        "checkpoint", help="checkpoint, exported .onnx or .xml file, or Ultralytics' .pt or .yaml"
    )
    parser.add_argument("--out", metavar="FILE.pkl", help="write the raw results to this file")
    parser.add_argument(
        "--show-dir", help="save images with the detections to WORK_DIR/<time>/SHOW_DIR"
    )
    parser.add_argument("--tta", action="store_true", help="use test-time augmentation")
    parser.add_argument(
        "--deploy",
        action=BooleanOptionalAction,
        default=True,
        help="evaluate the fused model (the default) or the training form",
    )
    run("test", parser.parse_args(args))
