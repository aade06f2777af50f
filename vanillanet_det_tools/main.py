"""The command `vanillanet-det` and the scripts in `tools/`: they run a verb."""

import argparse
import atexit
import contextlib
import importlib
import os
import sys
import time
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Callable, Optional

from .command_line import run_alone, stop

VERBS = {
    "train": "train the detector of a config",
    "test": "evaluate a checkpoint or an exported file",
    "finetune": "train a detector on your own images",
    "pretrain": "train a classifier, whose backbone detectors start from",
    "ablation": "train small networks with and without the papers' ideas",
    "check-data": "find mistakes in a config, its datasets and its weights",
    "infer": "detect objects in images, a video or a camera",
    "embed": "write embeddings of images, and show nearest neighbours",
    "export": "write an ONNX or OpenVINO file",
    "convert-checkpoint": "convert, merge or fuse a checkpoint",
    "benchmark": "measure the speed of detectors",
    "get-flops": "count parameters, FLOPs and kernels",
    "gpu-check": "compare a GPU with the CPU, and measure its speed",
    "training-cost": "measure the memory and time of training",
    "configs": "list the configs that come with this project",
}

# A launcher then finds the rank first that failed first, and not one that has lost it.
_PATIENCE_S = 1.0


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
    """Run the verb that a script in `tools/` is named after, as this process."""
    name = Path(path).stem
    run_process(lambda: run_verb(name.replace("_", "-"), f"tools/{name}.py", sys.argv[1:]))


def run_command() -> None:
    """Run the command, as this process."""
    run_process(main)


def run_process(function: Callable[[], None]) -> None:
    """Call a function and end the process, with the status that the function exits with.

    A rank on the CPU ends at once, without the clean-up of the C++ libraries, in which threads of
    gloo may abort it. torchrun would take a run for failed that has written everything.
    """
    try:
        function()
        status = 0
    except SystemExit as end:
        status = end.code
    launch = sys.modules.get("vanillanet_det.engine.launch")
    if launch is None or not launch.has_gloo_threads():
        sys.exit(status)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # nobody reads it any more
            stream.flush()
    if status:
        time.sleep(_PATIENCE_S)
    os._exit(status or 0)
