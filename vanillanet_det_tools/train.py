"""Train a detector."""

from collections.abc import Sequence

from .command_line import add_amp, make_parser, run


def main(prog: str, args: Sequence[str]) -> None:
    """Parse the command line and train."""
    parser = make_parser(prog, "Train a detector.")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="CHECKPOINT",
        help="resume from CHECKPOINT (default: the newest readable checkpoint in the work dir)",
    )
    add_amp(parser)
    parser.add_argument(
        "--auto-scale-lr",
        action="store_true",
        help="scale the learning rate with the batch size",
    )
    run("train", parser.parse_args(args))
