"""Detect objects: `python tools/infer.py MODEL INPUT --out DIR`."""

import argparse
import sys

from command_line import run


def main() -> None:
    """Parse the command line and detect."""
    parser = argparse.ArgumentParser(
        description="Detect objects in a picture, a folder, a video or from a camera, with the "
        "fused network of a checkpoint. Started by torchrun, its processes share a folder."
    )
    parser.add_argument("model", metavar="MODEL", help="checkpoint, or an exported file")
    parser.add_argument(
        "source",
        metavar="INPUT",
        help="picture, folder, pattern in quotes ('data/*.jpg'), video file, or camera:0",
    )
    parser.add_argument("--config", help="its config file (default: the one in the checkpoint)")
    parser.add_argument(
        "--out",
        metavar="DIR_or_FILE",
        help="folder for pictures, results.json and results.csv; begun before, it is gone on with. "
        "Or a .jpg or .png file for the drawing of one picture (default: print a line per image)",
    )
    parser.add_argument(
        "--score", type=float, default=0.3, help="least score of an object (default: 0.3)"
    )
    parser.add_argument(
        "--batch-size", type=int, default=4, help="images of one shape at a time (default: 4)"
    )
    parser.add_argument("--device", help="where to compute, such as cuda (default: a GPU if any)")
    parser.add_argument("--no-draw", dest="draw", action="store_false", help="draw no pictures")
    parser.add_argument("--threads", type=int, help="of the CPU (default: PyTorch's)")
    sys.exit(run("infer", parser.parse_args()))


if __name__ == "__main__":
    main()
