"""Detect objects."""

import argparse
import sys
from collections.abc import Sequence

from .command_line import locatable_config, run


def main(prog: str, args: Sequence[str]) -> None:
    """Parse the command line and detect."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Detect objects in images, a video or a camera with the fused network of a "
        "checkpoint or an exported file. With torchrun, the images are split across processes.",
    )
    parser.add_argument("model", metavar="MODEL", help="checkpoint or exported file")
    parser.add_argument(
        "source",
        metavar="INPUT",
        help="image, folder, pattern in quotes ('data/*.jpg'), video file, or camera:0",
    )
    parser.add_argument(
        "--config",
        type=locatable_config,
        help="config file or name (default: the config stored in the checkpoint)",
    )
    parser.add_argument(
        "--out",
        metavar="DIR_or_FILE",
        help="folder for drawings, results.json and results.csv (an existing run is resumed), or a "
        ".jpg or .png file for the drawing of a single image (default: print a line per image)",
    )
    parser.add_argument(
        "--score",
        type=float,
        help="score threshold (default: the detector's, one for each class, else 0.3)",
    )
    parser.add_argument(
        "--tiles",
        metavar="SIZE",
        help="cut larger images into tiles of this size, such as 640 or 480x640 (height x width), "
        "and merge their detections; none doesn't cut (default: as the detector was trained)",
    )
    parser.add_argument(
        "--batch-size", type=int, default=4, help="images of the same shape per batch (default: 4)"
    )
    parser.add_argument(
        "--device", help="device to run on, such as cuda (default: a GPU if available)"
    )
    parser.add_argument(
        "--no-draw", dest="draw", action="store_false", help="don't draw the objects"
    )
    parser.add_argument("--threads", type=int, help="number of CPU threads (default: PyTorch's)")
    sys.exit(run("infer", parser.parse_args(args)))
