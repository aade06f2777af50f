"""Arguments shared by the verbs, and one-line error messages for user mistakes."""

import argparse
import gc
import importlib
import os
import re
import runpy
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn


def make_parser(prog: str, description: str) -> argparse.ArgumentParser:
    """Build a parser with the arguments that `train` and `test` share."""
    parser = argparse.ArgumentParser(prog=prog, description=description)
    add_config(parser)
    parser.add_argument("--work-dir", help="folder for logs and checkpoints")
    add_cfg_options(parser)
    add_verbose(parser)
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm", "mpi"],
        default="none",
        help="job launcher for distributed runs (default: none)",
    )
    # Older launchers pass this argument instead of the environment variable.
    parser.add_argument("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)
    return parser


def add_config(parser: argparse.ArgumentParser, name: str = "config", **kwargs: Any) -> None:
    """Add the config, or several."""
    what = "config file, or the name of a config of this project (vanillanet-det configs)"
    kwargs = {"type": locatable_config, "help": what, **kwargs}
    parser.add_argument(name, metavar="CONFIG", **kwargs)


def locatable_config(name: str) -> str:
    """Return the name of a config; if there is none, stop before seconds of imports."""
    own = run_alone("installation")
    if own["locate_config"](name) is None:
        stop(own["no_such_config"](name))
    return name


def locatable_network(name: str) -> str:
    """Return the name of a config, or a file of Ultralytics, which is looked for later."""
    return name if Path(name).suffix.lower() in (".pt", ".yaml", ".yml") else locatable_config(name)


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add `--cfg-options`, which overrides values in the config."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help='override the config: a.b=1, a.c="[1,2]"; data_root=FOLDER moves the dataset',
    )


def add_verbose(parser: Any) -> None:
    """Add `--verbose`, which prints the whole log."""
    parser.add_argument(
        "--verbose",
        action="store_true",
        help="print the whole log, which is otherwise only in the log file",
    )


def add_amp(parser: Any) -> None:
    """Add `--amp`, which enables mixed precision."""
    parser.add_argument(
        "--amp",
        nargs="?",
        const="auto",
        choices=["auto", "float16", "bfloat16"],
        help="mixed precision (default type: float16 on a GPU, bfloat16 on the CPU)",
    )


def add_renamed(parser: argparse.ArgumentParser, old: str, new: str) -> None:
    """Reject a flag of an earlier version with a message that states its new name."""

    class Renamed(argparse.Action):
        def __call__(self, *_: Any, **__: Any) -> None:
            stop(f"{old} was renamed; use {new} instead")

    parser.add_argument(
        old, action=Renamed, nargs="*", default=argparse.SUPPRESS, help=argparse.SUPPRESS
    )


def run(function: str, args: argparse.Namespace) -> Any:
    """Call a function of `vanillanet_det.apis` with the parsed arguments as keyword arguments.

    Returns the function's result. After a user mistake, the process prints one message and exits
    with status 2; after Ctrl-C, it exits with status 130.
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
    gc.disable()  # it takes a third of the imports' time, and finds nothing
    try:
        importlib.import_module("vanillanet_det.requirements").check_requirements()
        apis = importlib.import_module("vanillanet_det.apis")
        errors = importlib.import_module("vanillanet_det.errors")
    except ImportError as error:
        hint = "; python -m vanillanet_det.runtime runs exported files without them"
        stop(f"{error}{hint if function == 'infer' else ''}")
    finally:
        gc.freeze()
        gc.enable()
    try:
        return getattr(apis, function)(**arguments)
    except errors.UserError as error:
        stop(str(error))


def run_alone(module: str) -> dict[str, Any]:
    """Run a module of the package on its own, and return its names.

    Importing the package takes seconds, since it imports PyTorch and MMDetection.
    """
    spec = find_spec("vanillanet_det")  # doesn't import it
    return runpy.run_path(str(Path(spec.origin).with_name(f"{module}.py")))


def show(text: str) -> None:
    """Print a result. A reader that has enough, such as `head`, is no error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Python would report an error when it flushes standard output at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def stop(message: str) -> NoReturn:
    """Print an error in one line, and exit with status 2."""
    # An error raised in a data loader worker has the whole traceback as its message.
    if message.startswith("Caught "):
        message = re.split(r"^\S*UserError: ", message, flags=re.MULTILINE)[-1].strip()
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
