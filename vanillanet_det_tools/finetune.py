"""Fine-tune a detector on your own dataset."""

import argparse
import os
import re
import time
from collections.abc import Sequence

from .command_line import add_amp, add_renamed, add_verbose, run


def _tiles(text: str) -> str:
    """Reject what isn't a size: `--tiles DATA` would take the dataset for one."""
    if not re.fullmatch(r"\d+(x\d+)?|none", text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no size such as 640 or 480x640; pass DATA before --tiles"
        )
    return text


def main(prog: str, args: Sequence[str]) -> None:
    """Parse the command line and fine-tune."""
    began = time.monotonic()
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Fine-tune a detector on your own dataset. DATA is a folder, an annotation "
        "file, or a zip or tar archive in a known format (COCO, YOLO, Pascal VOC, LabelMe, CVAT, "
        "Label Studio, ...). Unspecified settings are inferred from the dataset and the weights, "
        "checked, and reported before training starts.",
    )
    parser.add_argument("data", metavar="DATA", help="dataset: annotations and images")
    network = parser.add_argument_group("network")
    network.add_argument(
        "--model",
        help="detector: nano, small or base for machines without a GPU; retinanet, mask-rcnn, "
        "faster-rcnn, or a config file or name; yolo11, yolo11s, ... or a YAML of Ultralytics "
        "(default: the detector of the weights; else small without a GPU, retinanet with one)",
    )
    network.add_argument(
        "--backbone",
        metavar="NAME",
        help="vanillanet5 to vanillanet13, vanillanet13_x1_5, vanillanet13_x1_5_ada_pool, "
        "gresnet50, gresnet101 (default: the backbone of the weights or of --model)",
    )
    add_renamed(parser, "--arch", "--backbone")
    network.add_argument(
        "--weights",
        metavar="FILE",
        help="starting point: a detector's checkpoint, or published ImageNet weights",
    )
    network.add_argument(
        "--freeze",
        type=int,
        default=-1,
        metavar="N",
        help="freeze the stem (N=0) and the stages up to N",
    )
    network.add_argument(
        "--merged",
        action="store_true",
        help="train one convolution per layer (VanillaNet's merged form), which halves the time",
    )
    training = parser.add_argument_group("training")
    training.add_argument(
        "--epochs", type=int, help="number of epochs (default: about 4,000 iterations)"
    )
    training.add_argument(
        "--minutes",
        type=float,
        help="time for the whole command, report included; sets the number of epochs",
    )
    training.add_argument("--batch-size", type=int, default=8, help="images per batch (default: 8)")
    training.add_argument(
        "--lr", type=float, help="learning rate (default: depends on weights and batch size)"
    )
    training.add_argument(
        "--input-size",
        metavar="SIZE",
        help="320, or HEIGHTxWIDTH (default: the size of the images, up to 800x1333)",
    )
    add_renamed(parser, "--image-size", "--input-size")
    training.add_argument(
        "--tiles",
        nargs="?",
        const="640",
        type=_tiles,
        metavar="SIZE",
        help="for large images with small objects: cut them into tiles of this size (default: 640, "
        "or HEIGHTxWIDTH) to train, and later to detect",
    )
    training.add_argument(
        "--augment",
        nargs="+",
        choices=["none", "flip", "scale"],
        default=["flip", "scale"],
        help="random flip and resize (default: both)",
    )
    training.add_argument(
        "--seed", type=int, default=0, help="of the weights and of the images' order (default: 0)"
    )
    add_amp(training)
    training.add_argument("--device", help="cpu, cuda or cuda:1 (default: a GPU if available)")
    files = parser.add_argument_group("files")
    files.add_argument("--work-dir", help="output folder (default: work_dirs/DATA)")
    files.add_argument("--resume", action="store_true", help="resume the run in the work dir")
    files.add_argument(
        "--skip-missing",
        action="store_true",
        help="train without the images that are missing or unreadable (default: stop)",
    )
    files.add_argument(
        "--dry-run",
        action="store_true",
        help="check the data and write the config, but don't train",
    )
    files.add_argument(
        "--compare",
        nargs="+",
        default=[],
        metavar="WORK_DIR",
        help="work dirs of other runs to include in the report's curves",
    )
    add_verbose(files)
    arguments = parser.parse_args(args)
    if arguments.device == "cpu":
        # Set before MMEngine is imported, because MMEngine looks for a GPU only once.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    arguments.began = began
    run("finetune", arguments)
