"""Train a detector: `python tools/train.py CONFIG`."""

from command_line import add_amp, make_parser, run


def main() -> None:
    """Parse the command line and train."""
    parser = make_parser("Train a detector.")
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
    run("train", parser.parse_args())


if __name__ == "__main__":
    main()
