"""Configs as the command lines read them, with one sentence for every mistake."""

import os
import traceback
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

from mmengine.config import Config, ConfigDict, DictAction

from ..checks import DATALOADERS
from ..errors import UserError
from .hooks import CheckWeightsHook, InterruptHook, StopAtNonFiniteLossHook

_EVALUATORS = ("val_evaluator", "test_evaluator")


def load_config(
    path: str,
    work_dir: Optional[str] = None,
    cfg_options: Sequence[str] = (),
    launcher: str = "none",
) -> Config:
    """Read a config for a run, and override it.

    Args:
        path: The config file.
        work_dir: Folder for logs and checkpoints; made if missing. The default is the
            config's own, or `work_dirs/<name of the config>`.
        cfg_options: As for `read_config`.
        launcher: Job launcher of distributed runs.

    Returns:
        The config, with `work_dir` and `launcher`.

    Raises:
        UserError: As `read_config`, or a `work_dir` that can't be written.
    """
    cfg = read_config(path, cfg_options)
    cfg.launcher = launcher
    # Whoever's config it is: weights that don't fit are refused, a lost training is stopped, and
    # one that is interrupted can go on.
    hooks = cfg.setdefault("default_hooks", ConfigDict())
    hooks.setdefault("check_weights", ConfigDict(type=CheckWeightsHook.__name__))
    hooks.setdefault("check_loss", ConfigDict(type=StopAtNonFiniteLossHook.__name__))
    hooks.setdefault("interrupt", ConfigDict(type=InterruptHook.__name__))
    cfg.work_dir = work_dir or cfg.get("work_dir") or f"work_dirs/{Path(path).stem}"
    check_writable(Path(cfg.work_dir))
    return cfg


def read_config(path: str, cfg_options: Sequence[str] = ()) -> Config:
    """Read a config and override it; nothing is written.

    Args:
        path: The config file.
        cfg_options: `key=value` pairs in mmengine's words. `data_root=FOLDER` moves every
            path of the dataloaders and evaluators that lies below the config's own `data_root`.

    Returns:
        The config.

    Raises:
        UserError: No config, not a config, or options that don't fit.
    """
    if not Path(path).is_file():
        raise UserError(f"config {path}: there is no such file")
    try:
        cfg = Config.fromfile(path)
    except Exception as error:  # a config is Python: anything may be wrong in it
        raise UserError(f"config {path}: {type(error).__name__}: {error}") from error
    options, data_root = _parse_options(cfg_options)
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise UserError(f"--cfg-options {' '.join(cfg_options)}: {error}") from error
    if data_root is not None:
        _move_data_root(cfg, data_root)
    return cfg


def _parse_options(pairs: Sequence[str]) -> tuple[dict, Optional[str]]:
    """Parse `key=value` pairs; `data_root`, which is a path and not a value, as it stands."""
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


def _move_data_root(cfg: Config, data_root: str) -> None:
    old = cfg.get("data_root")
    if not data_root:
        raise UserError("--cfg-options data_root=: expected a folder")
    if not old:
        raise UserError(
            f"--cfg-options data_root={data_root}: {cfg.filename} has no data_root; set "
            "train_dataloader.dataset.data_root and the like one by one"
        )
    for key in (*DATALOADERS, *_EVALUATORS):
        _move(cfg.get(key), old, data_root)
    cfg.data_root = data_root


def _move(node: Any, old: str, new: str) -> None:
    """Move the paths of a config's node, in place, from one folder to another."""
    items = node.items() if isinstance(node, dict) else enumerate(node or ())
    for key, value in list(items):
        if isinstance(value, str) and value.rstrip("/") == old.rstrip("/"):
            node[key] = new
        elif isinstance(value, str) and value.startswith(old.rstrip("/") + "/"):
            node[key] = os.path.join(new, value[len(old.rstrip("/")) :].lstrip("/"))
        elif isinstance(value, (dict, list)):
            _move(value, old, new)


def type_name(node: Any) -> str:
    """Read the type of a config's node, without the scope of its registry.

    Args:
        node: A dict, or an object that was built of one already.

    Returns:
        A name such as `AmpOptimWrapper`; '' for a dict without a type.
    """
    kind = node.get("type", "") if isinstance(node, dict) else type(node)
    return str(getattr(kind, "__name__", kind)).rpartition(".")[2]


def check_writable(folder: Path, what: str = "work_dir", flag: str = "--work-dir FOLDER") -> None:
    """Make a folder, if need be, and try to write in it.

    Args:
        folder: The folder.
        what: What errors call it.
        flag: The option that chooses another.

    Raises:
        UserError: It can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink(missing_ok=True)  # ranks of other nodes may have this pid, too
    except OSError as error:
        raise UserError(
            f"{what} {folder}: can't be written ({error.strerror}); choose another with {flag}"
        ) from error


@contextmanager
def config_errors(cfg: Config) -> Iterator[None]:
    """Turn what the registries say of a misspelt config into a sentence without traceback."""
    try:
        yield
    except (KeyError, TypeError) as error:
        message = str(error.args[0]) if error.args else ""
        said_by_registry = " is not in the " in message or "unexpected keyword argument" in message
        # The same words from anywhere else are an error of a program, and need their traceback.
        frames = traceback.extract_tb(error.__traceback__)
        if said_by_registry and any(frame.name == "build_from_cfg" for frame in frames):
            message = message.split(" Please check whether")[0]
            raise UserError(f"config {cfg.filename}: {message}") from error
        raise
