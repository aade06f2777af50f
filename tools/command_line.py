"""What the tools share: common arguments, and one sentence for a user's mistake.

Nothing here imports torch, so that `--help` answers at once.
"""

import argparse
import importlib
import os
import re
import sys
from typing import Any


def make_parser(description: str) -> argparse.ArgumentParser:
    """Make a parser with the arguments of tools that run a config: train and test."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("config", help="config file")
    parser.add_argument("--work-dir", help="folder for logs and checkpoints")
    add_cfg_options(parser)
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm", "mpi"],
        default="none",
        help="job launcher of distributed runs (default: none)",
    )
    # Older launchers pass this argument instead of the environment variable.
    parser.add_argument("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)
    return parser


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add the argument that overrides a config."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help='override the config: a.b=1, a.c="[1,2]"; data_root=FOLDER moves the data set',
    )


def add_amp(parser: Any) -> None:
    """Add the argument for mixed precision."""
    parser.add_argument(
        "--amp",
        nargs="?",
        const="auto",
        choices=["auto", "float16", "bfloat16"],
        help="mixed precision: float16 on a GPU and bfloat16 on the CPU, unless given",
    )


def add_renamed(parser: argparse.ArgumentParser, old: str, new: str) -> None:
    """Answer a flag of an earlier version with the name that it has now."""

    class Renamed(argparse.Action):
        def __call__(self, *_: Any, **__: Any) -> None:
            _stop(f"{old} is called {new} now; give {new} instead")

    parser.add_argument(
        old, action=Renamed, nargs="*", default=argparse.SUPPRESS, help=argparse.SUPPRESS
    )


def run(function: str, args: argparse.Namespace) -> Any:
    """Call a function of `vanillanet_det.apis` with the arguments of the same names.

    Returns what the function returns. Exits with status 2, and one message, when the user can
    mend what went wrong.
    """
    arguments = vars(args)
    local_rank = arguments.pop("local_rank", None)
    if local_rank is not None:
        os.environ.setdefault("LOCAL_RANK", str(local_rank))
    try:
        return _call(function, arguments)
    except KeyboardInterrupt:
        sys.exit(130)


def _call(function: str, arguments: dict[str, Any]) -> Any:
    try:
        importlib.import_module("vanillanet_det.requirements").check_requirements()
        apis = importlib.import_module("vanillanet_det.apis")
        errors = importlib.import_module("vanillanet_det.errors")
    except ImportError as error:
        hint = "; in its folder: pip install -e '.[lite]'" if error.name == "vanillanet_det" else ""
        _stop(f"{error}{hint}")
    try:
        return getattr(apis, function)(**arguments)
    except errors.UserError as error:
        _stop(str(error))


def _stop(message: str) -> None:
    # A data loader's worker hands over its whole traceback as the message.
    if message.startswith("Caught "):
        message = re.split(r"^\S*UserError: ", message, flags=re.MULTILINE)[-1].strip()
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
