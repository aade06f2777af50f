"""Write embeddings of images, and show nearest neighbours."""

import argparse
import sys
from collections.abc import Sequence

from .command_line import run


def main(prog: str, args: Sequence[str]) -> None:
    """Parse the command line and compute the embeddings."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Write the last feature of every image by one or more networks, and show the "
        "nearest neighbours of images. Exit status 1: a file is left out.",
    )
    parser.add_argument(
        "images", metavar="IMAGES", help="image, folder, or pattern in quotes ('data/*.jpg')"
    )
    parser.add_argument(
        "--model",
        nargs="+",
        required=True,
        metavar="NAME_OR_CHECKPOINT",
        help="checkpoint of a classifier or detector, timm:NAME=FILE, or timm:NAME, whose weights "
        "timm downloads",
    )
    parser.add_argument(
        "--out",
        default="embeddings.npz",
        help="file to write, .npz or .parquet (default: embeddings.npz)",
    )
    parser.add_argument(
        "--query", nargs="+", default=[], metavar="IMAGE", help="images whose neighbours to show"
    )
    parser.add_argument(
        "--neighbours", type=int, default=8, help="neighbours of an image (default: 8)"
    )
    parser.add_argument(
        "--annotations",
        metavar="FILE",
        help="COCO file of the images: compare how often neighbours have a class of the image with "
        "chance",
    )
    parser.add_argument(
        "--page",
        default="neighbours.html",
        help="file of the neighbours, .html or .png (default: neighbours.html)",
    )
    parser.add_argument(
        "--store",
        choices=["numpy", "milvus"],
        default="numpy",
        help="what searches; milvus also keeps the vectors, in a folder beside --out",
    )
    parser.add_argument(
        "--input-size",
        metavar="SIZE",
        help="size that classifiers get images in, such as 224 or 480x640 (height x width; "
        "default: that of their evaluation)",
    )
    parser.add_argument("--batch-size", type=int, default=32, help="images per batch (default: 32)")
    parser.add_argument(
        "--device", help="device to run on, such as cuda (default: a GPU if available)"
    )
    sys.exit(run("embed", parser.parse_args(args)))
