"""MMEngine's runner, with readable console output."""

import itertools
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from mmdet.registry import RUNNERS, VISUALIZERS
from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger, print_log
from mmengine.runner import Runner
from torch import nn

from .hooks.progress_hook import ProgressHook

_PACKAGE = Path(__file__).parents[1]
_OF_NO_USE = (
    # about what only MMEngine itself still uses
    '"FileClient" will be deprecated',
    '"HardDiskBackend" is the alias',
    # about what the configs ask for
    "is duplicate. It is skipped since bypass_duplicate=True",
    # about what the line of an epoch says
    "The testing results of the whole dataset is empty",
    "Since `metrics` is an empty dict",
)


@RUNNERS.register_module()
class QuietRunner(Runner):
    """MMEngine's Runner, which prints warnings and the messages of this package only.

    All messages, such as the config, the environment and the loss every few iterations, are in the
    log file.
    """

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build MMEngine's logger, with a short format and a filter for the console."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if type(handler) is logging.StreamHandler:
                handler.addFilter(_is_for_the_user)
                handler.setFormatter(_ShortFormatter())
        return logger

    def train(self) -> nn.Module:
        """Train."""
        with _warnings_to_log():
            return super().train()

    def test(self) -> dict:
        """Evaluate."""
        with _warnings_to_log():
            return super().test()

    def load_checkpoint(self, *args: Any, **kwargs: Any) -> Any:
        """Load a checkpoint."""
        with _printed_to_log():
            return super().load_checkpoint(*args, **kwargs)

    def build_train_loop(self, loop: Any) -> Any:
        """Build the training loop and its dataset."""
        with _printed_to_log():
            return super().build_train_loop(loop)

    def build_val_loop(self, loop: Any) -> Any:
        """Build the validation loop, its dataset and its metrics."""
        with _printed_to_log():
            return super().build_val_loop(loop)

    def build_test_loop(self, loop: Any) -> Any:
        """Build the test loop, its dataset and its metrics."""
        with _printed_to_log():
            return super().build_test_loop(loop)


def build_runner(cfg: Config, verbose: bool) -> Runner:
    """Build the runner of a config.

    Args:
        cfg: The config; unless it contains `default_hooks.progress`, a ProgressHook is added.
        verbose: Print the whole log instead of what `QuietRunner` prints.
    """
    hooks = cfg.setdefault("default_hooks", ConfigDict())
    if "progress" not in hooks:
        hooks.progress = ConfigDict(type=ProgressHook.__name__)
    if cfg.get("visualizer"):
        _rename(cfg.visualizer)
    if verbose:
        return Runner.from_cfg(cfg)
    with _warnings_to_log():
        return QuietRunner.from_cfg(cfg)


def _rename(visualizer: ConfigDict) -> None:
    """Rename a visualizer if an earlier run of this process has one of that name.

    MMEngine would use it again, and it writes into the folder of the earlier run.
    """
    kind, name = visualizer.get("type"), visualizer.get("name", "visualizer")
    kind = VISUALIZERS.get(kind) if isinstance(kind, str) else kind
    if kind is None:  # the runner reports it
        return
    names = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(2)))
    visualizer.name = next(each for each in names if not kind.check_instance_created(each))


@contextmanager
def _warnings_to_log() -> Iterator[None]:
    """Log what libraries warn their developers of."""

    def log(message: object, category: type, filename: str, lineno: int, *_: object) -> None:
        print_log(f"{filename}:{lineno}: {category.__name__}: {message}", "current")

    with warnings.catch_warnings():
        warnings.showwarning = log
        yield


@contextmanager
def _printed_to_log() -> Iterator[None]:
    """Log what MMEngine and pycocotools print when they read a file."""
    with redirect_stdout(StringIO()) as printed:
        yield
    print_log(printed.getvalue(), "current")


def _is_for_the_user(record: logging.LogRecord) -> bool:
    if any(text in str(record.msg) for text in _OF_NO_USE):
        return False
    return record.levelno >= logging.WARNING or _PACKAGE in Path(record.pathname).parents


class _ShortFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        is_plain = record.levelno < logging.WARNING
        return text if is_plain else f"{record.levelname.lower()}: {text}"
