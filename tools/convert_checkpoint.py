"""Convert or fuse a checkpoint: `python tools/convert_checkpoint.py SOURCE TARGET --deploy`."""

import argparse

from command_line import run


def main() -> None:
    """Parse the command line and convert."""
    parser = argparse.ArgumentParser(
        description="Convert a checkpoint of a VanillaNet: published classifier, MMDetection 2.x "
        "detector, or this project's own, into one another, or fuse it."
    )
    parser.add_argument("source", help="checkpoint file, or its URL")
    parser.add_argument("target", help="file to write")
    parser.add_argument("--deploy", action="store_true", help="fuse the network")
    parser.add_argument("--merge", action="store_true", help="merge it, to fine-tune it")
    parser.add_argument(
        "--layout",
        choices=["mmengine", "published"],
        default="mmengine",
        help="how the target holds the tensors (default: mmengine, for this project)",
    )
    parser.add_argument("--force", action="store_true", help="replace the target if it exists")
    parser.add_argument("--verbose", action="store_true", help="show the error of each layer")
    print(run("convert_checkpoint", parser.parse_args()))


if __name__ == "__main__":
    main()
