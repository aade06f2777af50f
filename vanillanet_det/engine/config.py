"""Reading configs for the command-line tools, with a one-line error for every mistake."""

import inspect
import os
import traceback
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Optional

from mmengine.config import Config, ConfigDict, DictAction
from mmengine.runner import Runner

from ..checks import DATALOADERS
from ..configs import read_config_file, type_name
from ..errors import UserError
from .clear_settings import accept_clear_settings, make_sizes_tuples
from .evaluation_loops import GuardedTestLoop, GuardedValLoop
from .hooks import (
    CheckDataHook,
    CheckWeightsHook,
    InterruptHook,
    ResumeScheduleHook,
    StopAtNonFiniteLossHook,
)
from .loops import ResumableEpochBasedTrainLoop, ResumableIterBasedTrainLoop
from .workers import shield_workers

_HOOKS = dict(
    check_weights=CheckWeightsHook,
    check_loss=StopAtNonFiniteLossHook,
    resume_schedule=ResumeScheduleHook,
    interrupt=InterruptHook,
)
_EVALUATORS = ("val_evaluator", "test_evaluator")
# What errors of registries say.
_OF_REGISTRIES = (" is not in the ", "unexpected keyword argument", 'must contain the key "type"')
# MMEngine's loops, and the loops that replace them.
_LOOPS = {
    "EpochBasedTrainLoop": ResumableEpochBasedTrainLoop.__name__,
    "IterBasedTrainLoop": ResumableIterBasedTrainLoop.__name__,
    "ValLoop": GuardedValLoop.__name__,
    "TestLoop": GuardedTestLoop.__name__,
}


def load_config(
    path: str,
    work_dir: Optional[str] = None,
    cfg_options: Sequence[str] = (),
    launcher: str = "none",
) -> Config:
    """Read a config for a run, override it, and add the hooks and loops that every run needs.

    Args:
        path: As for `read_config`.
        work_dir: Folder for logs and checkpoints, created if missing. The default is the
            config's `work_dir`, or `work_dirs/<name of the config>`.
        cfg_options: As for `read_config`.
        launcher: Job launcher for distributed runs.

    Returns:
        The config, with `work_dir` and `launcher`.

    Raises:
        UserError: As for `read_config`, or the `work_dir` isn't writable.
    """
    cfg = read_config(path, cfg_options)
    cfg.launcher = launcher
    # For every config: reject weights that don't match, stop a run that diverges, make
    # interrupted runs resumable, and follow the config's schedule in resumed runs.
    hooks = {key: ConfigDict(type=hook.__name__) for key, hook in _HOOKS.items()}
    cfg.default_hooks = ConfigDict(hooks, **(cfg.get("default_hooks") or {}))
    accept_clear_settings(cfg)
    for mode in ("train", "val", "test"):
        _set_loop(cfg, mode)
    remove_hooks(cfg, CheckDataHook.__name__)  # the tools run the checks before they build a runner
    cfg.work_dir = work_dir or cfg.get("work_dir") or f"work_dirs/{Path(path).stem}"
    check_writable(Path(cfg.work_dir))
    return cfg


def _set_loop(cfg: Config, mode: str) -> None:
    """Replace MMEngine's loops with resumable ones; for other loops, only shield the workers."""
    loop, loader = cfg.get(f"{mode}_cfg"), cfg.get(f"{mode}_dataloader")
    if loop is None:
        return
    if mode == "train" and "type" not in loop:
        kind = "EpochBased" if loop.pop("by_epoch", True) else "IterBased"
        loop.type = f"{kind}TrainLoop"
    name = type_name(loop) or f"{mode.title()}Loop"
    if name in _LOOPS:
        loop.type = _LOOPS[name]
    elif name not in _LOOPS.values() and loader is not None:
        seed = (cfg.get("randomness") or {}).get("seed")
        cfg[f"{mode}_dataloader"] = shield_workers(loader, seed)


def remove_hooks(cfg: Config, name: str) -> list[Any]:
    """Remove the hooks of a type from a config's custom and default hooks.

    Args:
        cfg: The config.
        name: Name of the type, without the scope of its registry.

    Returns:
        The configs of the removed hooks.
    """
    custom, default = cfg.get("custom_hooks") or [], cfg.default_hooks
    removed = [hook for hook in (*default.values(), *custom) if type_name(hook) == name]
    cfg.custom_hooks = [hook for hook in custom if type_name(hook) != name]
    for key in [key for key, hook in default.items() if type_name(hook) == name]:
        del default[key]
    return removed


def read_config(path: str, cfg_options: Sequence[str] = ()) -> Config:
    """Read a config and override values in it, without writing any files.

    Args:
        path: The config file, or the name of one of this project's configs.
        cfg_options: `key=value` pairs in MMEngine's syntax. `data_root=FOLDER` changes every
            path of the dataloaders and evaluators that is inside the config's `data_root`.

    Returns:
        The config.

    Raises:
        UserError: The file is missing or isn't a config, or an option doesn't match it.
    """
    cfg = read_config_file(path)
    options, data_root = _parse_options(cfg_options)
    for key in options:
        _check_key(cfg, key)
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise UserError(f"--cfg-options {' '.join(cfg_options)}: {error}") from error
    if data_root is not None:
        _move_data_root(cfg, data_root)
    make_sizes_tuples(cfg)
    return cfg


def _parse_options(pairs: Sequence[str]) -> tuple[dict, Optional[str]]:
    """Parse `key=value` pairs, except for `data_root`, which is a plain path."""
    options, data_root = Namespace(parsed={}), None
    parse = DictAction(["--cfg-options"], dest="parsed")
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise UserError(f"--cfg-options {pair}: expected key=value, without spaces")
        if key == "data_root":
            data_root = value
            continue
        try:
            parse(None, options, [pair])
        except AssertionError as error:
            raise UserError(f"--cfg-options {pair}: {error}") from error
    return options.parsed, data_root


def _check_key(cfg: Config, key: str) -> None:
    """Refuse what seems to be a misspelt key, which MMEngine would add to the config."""
    known = {*cfg, *inspect.signature(Runner.__init__).parameters}
    first = key.partition(".")[0]
    closest = [] if first in known else get_close_matches(first, known, n=1, cutoff=0.75)
    if closest:
        raise UserError(
            f"--cfg-options {key}: {cfg.filename} has no {first}; did you mean {closest[0]}?"
        )


def _move_data_root(cfg: Config, data_root: str) -> None:
    old = cfg.get("data_root")
    if not data_root:
        raise UserError("--cfg-options data_root=: expected a folder")
    if not old:
        raise UserError(
            f"--cfg-options data_root={data_root}: {cfg.filename} has no data_root; set "
            "train_dataloader.dataset.data_root and similar keys one by one"
        )
    for key in (*DATALOADERS, *_EVALUATORS):
        _move(cfg.get(key), old, data_root)
    cfg.data_root = data_root


def _move(node: Any, old: str, new: str) -> None:
    """Move the paths in a node of a config from one folder to another, in place."""
    items = node.items() if isinstance(node, dict) else enumerate(node or ())
    for key, value in list(items):
        if isinstance(value, str) and value.rstrip("/") == old.rstrip("/"):
            node[key] = new
        elif isinstance(value, str) and value.startswith(old.rstrip("/") + "/"):
            node[key] = os.path.join(new, value[len(old.rstrip("/")) :].lstrip("/"))
        elif isinstance(value, (dict, list)):
            _move(value, old, new)


def check_writable(folder: Path, what: str = "work_dir", flag: str = "--work-dir FOLDER") -> None:
    """Create a folder if needed, and check that it is writable.

    Args:
        folder: The folder.
        what: Name of the folder in errors.
        flag: The option that selects another folder.

    Raises:
        UserError: The folder isn't writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink(missing_ok=True)  # a rank of another node may have the same pid
    except OSError as error:
        raise UserError(
            f"{what} {folder}: can't be written ({error.strerror}); choose another with {flag}"
        ) from error


@contextmanager
def config_errors(cfg: Config) -> Iterator[None]:
    """Convert a registry's error about a misspelt config into a `UserError`."""
    try:
        yield
    except (KeyError, TypeError) as error:
        message = str(error.args[0]) if error.args else ""
        is_from_registry = any(text in message for text in _OF_REGISTRIES)
        # The same message from anywhere else is a bug, which needs its traceback.
        frames = traceback.extract_tb(error.__traceback__)
        if is_from_registry and any(frame.name == "build_from_cfg" for frame in frames):
            message = message.split(" Please check whether")[0].partition("\n")[0]
            raise UserError(f"config {cfg.filename}: {message}") from error
        raise


def check_tensorboard(cfg: Config) -> None:
    """Check that TensorBoard can be imported if the config logs to it.

    Raises:
        UserError: TensorBoard can't be imported.
    """
    backends = (cfg.get("visualizer") or {}).get("vis_backends") or []
    if not any(type_name(backend) == "TensorboardVisBackend" for backend in backends):
        return
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"{cfg.filename}: TensorboardVisBackend needs TensorBoard ({error}); run "
            "pip install tensorboard, or remove the backend from visualizer.vis_backends"
        ) from error
