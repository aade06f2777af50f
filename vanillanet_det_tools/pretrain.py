"""Train a classifier, whose backbone detectors start from."""

import argparse
import os
from collections.abc import Sequence

from .command_line import add_amp, add_verbose, run


def main(prog: str, args: Sequence[str]) -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Train a classifier, whose backbone detectors start from. The defaults are the "
        "published ImageNet recipe of each VanillaNet; the learning rate is in proportion to the "
        "images of an iteration. Without DATA, a narrow VanillaNet learns handwritten digits on "
        "photographs in a few minutes.",
    )
    parser.add_argument(
        "data",
        metavar="DATA",
        nargs="?",
        help="folder with train/CLASS/*.jpg and val/CLASS/*.jpg, as ImageNet's",
    )
    network = parser.add_argument_group("network")
    network.add_argument(
        "--model",
        help="vanillanet5 to vanillanet13, ...; gresnet50 or gresnet101; the backbone of a "
        "detector such as small; timm:NAME or torchvision:NAME (default: vanillanet6)",
    )
    network.add_argument(
        "--width", type=int, help="channels of the first layers (default: 512; of a GResNet, 64)"
    )
    network.add_argument(
        "--act-num", type=int, metavar="N", help="n of the series activation (default: 3)"
    )
    network.add_argument(
        "--act-base",
        choices=["relu", "tanh", "silu", "gelu"],
        help="activation in the series activation (default: relu)",
    )
    network.add_argument(
        "--no-act-neighbours",
        dest="act_neighbours",
        action="store_false",
        default=None,
        help="sum over N shifts of each pixel in the series activation, not over neighbours",
    )
    network.add_argument(
        "--vanilla",
        action="store_true",
        help="add deep training and series activation to a network of timm or torchvision",
    )
    network.add_argument(
        "--shortcuts", action="store_true", help="add an identity around each stage of VanillaNet"
    )
    network.add_argument(
        "--drop-rate",
        type=float,
        help="dropout before the head (default: 0.05; 0 with --vanilla and for a GResNet)",
    )
    network.add_argument(
        "--drop-path",
        type=float,
        help="probability to skip the last block of a GResNet or timm network (default: 0)",
    )
    length = parser.add_argument_group("training")
    length.add_argument("--epochs", type=int, help="number of epochs (default: the recipe's, 300)")
    length.add_argument(
        "--batch-size", type=int, help="images per batch, in each process (default: 128)"
    )
    length.add_argument(
        "--accumulate", type=int, metavar="N", help="batches per iteration (default: 1)"
    )
    length.add_argument("--optimizer", help="name of an optimizer of timm (default: lamb)")
    length.add_argument("--lr", type=float, help="learning rate (default: the recipe's)")
    length.add_argument("--min-lr", type=float, help="learning rate at the end (default: 1e-6)")
    length.add_argument(
        "--warm-up", type=int, metavar="EPOCHS", help="epochs of warm-up (default: 5 of 300)"
    )
    length.add_argument("--weight-decay", type=float, help="weight decay (default: the recipe's)")
    length.add_argument(
        "--layer-decay",
        type=float,
        metavar="FACTOR",
        help="of the learning rate from layer to layer (default: the recipe's)",
    )
    length.add_argument(
        "--deep",
        choices=["linear", "cosine", "none"],
        help="how lambda rises in deep training (default: linear)",
    )
    length.add_argument(
        "--deep-epochs",
        type=int,
        metavar="N",
        help="epoch from which on lambda is 1 (default: a third of the epochs)",
    )
    length.add_argument(
        "--ema",
        type=float,
        metavar="SHARE",
        help="of the new weights in the average; 0 for none (default: as published, 4e-5, for "
        "another length in proportion)",
    )
    length.add_argument("--teacher", metavar="timm:NAME=FILE", help="network to learn from")
    length.add_argument(
        "--distillation", type=float, metavar="SHARE", help="of the teacher (default: 0.5)"
    )
    length.add_argument("--sync-bn", action="store_true", help="BatchNorm over all processes")
    length.add_argument("--seed", type=int, help="(default: 0)")
    add_amp(length)
    length.add_argument("--device", help="cpu, cuda or cuda:1 (default: a GPU if available)")
    length.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm", "mpi"],
        default="none",
        help="job launcher for distributed runs (default: none)",
    )
    images = parser.add_argument_group("images")
    images.add_argument("--input-size", metavar="SIZE", help="320, or HEIGHTxWIDTH (default: 224)")
    images.add_argument(
        "--crop-scale",
        type=float,
        metavar="SHARE",
        help="smallest share of a training image that a random crop keeps (default: 0.08)",
    )
    images.add_argument(
        "--crop-pct",
        type=float,
        metavar="SHARE",
        help="of a validation image's shorter side that is seen (default: 0.875)",
    )
    images.add_argument("--loss", choices=["bce", "ce"], help="(default: bce)")
    images.add_argument("--label-smoothing", type=float, help="(default: 0.1)")
    images.add_argument("--mixup", type=float, help="alpha; 0 for none (default: the recipe's)")
    images.add_argument("--cutmix", type=float, help="alpha; 0 for none (default: 1)")
    images.add_argument(
        "--auto-augment", help="timm's name, or none (default: rand-m7-mstd0.5-inc1)"
    )
    images.add_argument(
        "--colour-jitter",
        type=float,
        help="only with --auto-augment none, beside which timm leaves it out (default: 0.4)",
    )
    images.add_argument("--erasing", type=float, help="probability (default: 0.25)")
    images.add_argument("--no-flip", dest="flip", action="store_false", default=None)
    images.add_argument(
        "--reader", default="", help="timm's name of a dataset, such as torch/cifar10, in DATA"
    )
    images.add_argument("--splits", nargs=2, metavar=("TRAIN", "VAL"), help="names of the splits")
    images.add_argument("--workers", type=int, help="processes that load images, for each GPU")
    files = parser.add_argument_group("files")
    files.add_argument("--work-dir", help="output folder (default: work_dirs/pretrain_MODEL)")
    files.add_argument("--resume", action="store_true", help="resume the run in the work dir")
    files.add_argument(
        "--dry-run",
        action="store_true",
        help="check the data and write the config, but don't train",
    )
    files.add_argument(
        "--evaluate",
        dest="evaluated",
        metavar="FILE",
        help="don't train: top-1 and top-5 of a file, such as a published one, fused and not",
    )
    files.add_argument("--real", action="store_true", help="judge by ImageNet's ReaL labels, too")
    add_verbose(files)
    parser.add_argument("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args(args)
    if arguments.device == "cpu":
        # Set before MMEngine is imported, because MMEngine looks for a GPU only once.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    for name in ("vanilla", "shortcuts", "sync_bn"):
        setattr(arguments, name, getattr(arguments, name) or None)
    run("pretrain", arguments)
