"""Fine-tune a detector on your own data: `python tools/finetune.py DATA`."""

import argparse
import os
from pathlib import Path

from command_line import add_amp, run


def main() -> None:
    """Parse the command line, check, train and report."""
    parser = argparse.ArgumentParser(
        description="Fine-tune a detector on your own pictures. DATA is a COCO JSON or folder, a "
        "YOLO folder, a Pascal VOC folder or a LabelMe folder. What isn't given is derived from "
        "data and weights, checked, and said before the training begins."
    )
    parser.add_argument("data", metavar="DATA", help="annotations with their pictures")
    network = parser.add_argument_group("network")
    network.add_argument(
        "--model",
        help="retinanet, mask-rcnn, faster-rcnn, or a config file (default: that of the weights, "
        "or retinanet)",
    )
    network.add_argument("--arch", help="VanillaNet: 5 to 13, 13_x1_5, 13_x1_5_ada_pool")
    network.add_argument(
        "--weights",
        metavar="FILE",
        help="what to start from: a detector's checkpoint, or published ImageNet weights",
    )
    network.add_argument(
        "--freeze", type=int, default=-1, metavar="N", help="keep stem (0) and stages up to N"
    )
    network.add_argument(
        "--merged", action="store_true", help="train one convolution per layer: half the time"
    )
    training = parser.add_argument_group("training")
    training.add_argument("--epochs", type=int, help="default: about 4,000 iterations")
    training.add_argument("--batch-size", type=int, default=8, help="pictures (default: 8)")
    training.add_argument("--lr", type=float, help="default: fits weights and batch size")
    training.add_argument(
        "--image-size",
        metavar="SIZE",
        help="320, or HEIGHTxWIDTH (default: the pictures' own, up to 800x1333)",
    )
    training.add_argument(
        "--augment",
        nargs="+",
        choices=["none", "flip", "scale"],
        default=["flip", "scale"],
        help="mirror and resize at random (default: both)",
    )
    add_amp(training)
    training.add_argument("--device", help="cpu, cuda, cuda:1 (default: a GPU where there is one)")
    files = parser.add_argument_group("files")
    files.add_argument("--work-dir", help="for all that is written (default: work_dirs/DATA)")
    files.add_argument("--resume", action="store_true", help="go on with the training in it")
    files.add_argument(
        "--dry-run", action="store_true", help="check, derive, write the config, and stop"
    )
    files.add_argument(
        "--compare",
        nargs="+",
        default=[],
        metavar="WORK_DIR",
        help="other trainings to draw in the report's curves",
    )
    args = parser.parse_args()
    if args.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before MMEngine, which asks once, is imported
    args.folder = Path(__file__).resolve().parents[1] / "configs"
    run("finetune", args)


if __name__ == "__main__":
    main()
