"""The command `vanillanet-det` and the scripts in `tools/`: they run a verb."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Optional

from .command_line import run_alone, stop

VERBS = {
    "train": "train the detector of a config",
    "test": "evaluate a checkpoint or an exported file",
    "finetune": "train a detector on your own images",
    "pretrain": "train a classifier, whose backbone detectors start from",
    "ablation": "train small networks with and without VanillaNet's ideas",
    "check-data": "find mistakes in a config, its datasets and its weights",
    "infer": "detect objects in images, a video or a camera",
    "export": "write an ONNX or OpenVINO file",
    "convert-checkpoint": "convert, merge or fuse a checkpoint",
    "benchmark": "measure the speed of detectors",
    "get-flops": "count parameters, FLOPs and activations",
    "training-cost": "measure the memory and time of training",
    "configs": "list the configs that come with this project",
}


def main(args: Optional[Sequence[str]] = None) -> None:
    """Run the verb that the command line names."""
    lines = "\n".join(f"  {verb:<20}{what}" for verb, what in VERBS.items())
    parser = argparse.ArgumentParser(
        prog="vanillanet-det",
        description="Train, evaluate, export and run object detectors with VanillaNet.",
        epilog=f"verbs:\n{lines}\n\nvanillanet-det VERB --help lists the options of a verb.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s [-h] [--version] VERB ...",
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    parser.add_argument("verb", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("args", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    arguments = parser.parse_args(args)
    verb = arguments.verb
    if arguments.version:
        print(parser.prog, run_alone("installation")["__version__"])
    elif verb is None:
        parser.print_help(sys.stderr)
        sys.exit(2)
    elif verb not in VERBS:
        closest = get_close_matches(verb.replace("_", "-"), VERBS, n=1, cutoff=0.3)
        hint = f"did you mean {closest[0]}? " if closest else ""
        stop(f"{verb}: there is no such verb; {hint}vanillanet-det --help lists all")
    else:
        run_verb(verb, f"{parser.prog} {verb}", arguments.args)


def run_verb(verb: str, prog: str, args: Sequence[str]) -> None:
    """Run a verb.

    Args:
        verb: One of `VERBS`.
        prog: What the user called, for the usage line.
        args: The arguments that follow.
    """
    module = importlib.import_module(f".{verb.replace('-', '_')}", __package__)
    module.main(prog, args)


def run_script(path: str) -> None:
    """Run the verb that a script in `tools/` is named after, with the process's arguments."""
    name = Path(path).stem
    run_verb(name.replace("_", "-"), f"tools/{name}.py", sys.argv[1:])
