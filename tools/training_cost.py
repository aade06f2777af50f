"""Measure memory and time of training: `python tools/training_cost.py`."""

import argparse

from command_line import run


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(
        description="Measure what a training step of VanillaNet's forms keeps for the backward "
        "pass and how long it takes, against the form as it is published.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--arch", default="11", help="name of a published arch")
    parser.add_argument("--batch-size", type=int, default=2, help="images in a batch")
    parser.add_argument("--size", type=int, default=256, help="height and width in pixels")
    parser.add_argument("--repeats", type=int, default=5, help="steps to measure")
    parser.add_argument("--device", default="cpu", help="where to train, such as cuda")
    print(run("training_cost", parser.parse_args()))


if __name__ == "__main__":
    main()
