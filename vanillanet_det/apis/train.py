"""Training, used by `vanillanet-det train`."""

import hashlib
import shlex
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Optional

from mmengine.config import Config
from mmengine.dist import is_distributed
from mmengine.logging import MMLogger, print_log

from ..checkpoints import find_resume, read_checkpoint
from ..checkpoints.download import is_url
from ..checks import Finding
from ..engine.amp import set_amp
from ..engine.config import check_tensorboard, config_errors, load_config
from ..engine.folder_lock import hold_folder
from ..engine.hooks import InterruptHook
from ..engine.hooks.check_data_hook import check_run, log_warnings
from ..engine.launch import end_distributed, init_distributed
from ..engine.ranks import (
    first_rank_reports,
    gather_or_raise,
    is_first,
    is_first_of_node,
    lost_rank_errors,
    rank_prefix,
)
from ..engine.runner import build_runner
from ..engine.size_errors import size_errors
from ..errors import UserError
from ..installation import command


def train(
    config: str,
    work_dir: Optional[str] = None,
    resume: Optional[str] = None,
    amp: Optional[str] = None,
    auto_scale_lr: bool = False,
    cfg_options: Sequence[str] = (),
    launcher: str = "none",
    go_on: Optional[str] = None,
    verbose: bool = False,
    checked: bool = False,
) -> Optional[str]:
    """Train a detector.

    On Ctrl-C or SIGTERM, the process writes a checkpoint to resume from and exits with status 130
    or 143.

    Args:
        config: The config file.
        work_dir: Folder for logs and checkpoints.
        resume: A checkpoint, or `auto` for the newest readable checkpoint in `work_dir`.
        amp: Train in mixed precision: `float16`, `bfloat16`, or `auto` for float16 on a GPU and
            bfloat16 on the CPU.
        auto_scale_lr: Scale the learning rate with the batch size.
        cfg_options: `key=value` pairs that override the config.
        launcher: Job launcher for distributed runs.
        go_on: Command that resumes an interrupted training run, for the log; None for the
            `train` command with these arguments.
        verbose: Print the whole log, including the config and the environment.
        checked: Whether the config and the data have just been checked.

    Returns:
        The best checkpoint; None if the config doesn't keep one.

    Raises:
        UserError: There is a mistake in the config, the data, the weights, the checkpoint or a
            folder.
    """
    with ExitStack() as lock:
        with first_rank_reports(), _nothing_trained():
            cfg = load_config(config, work_dir, cfg_options, launcher)
            with config_errors(cfg):
                init_distributed(cfg)
                if auto_scale_lr:
                    _set_auto_scale_lr(cfg)
                _set_resume(cfg, resume)  # first, since nothing else is loaded then
                warnings, *_ = gather_or_raise(lambda: _check(cfg, checked), is_first_of_node())
                set_amp(cfg, amp)
                held = hold_folder(Path(cfg.work_dir))
                gather_or_raise(lambda: lock.enter_context(held), is_first())
                runner = build_runner(cfg, verbose)
                log_warnings(warnings)
        for hook in runner.hooks:
            if isinstance(hook, InterruptHook) and hook.go_on is None:
                hook.go_on = go_on or _resume_command(
                    config, work_dir, amp, auto_scale_lr, cfg_options, launcher, verbose
                )
        with config_errors(cfg), size_errors(cfg), lost_rank_errors(), _nothing_trained():
            runner.train()
    end_distributed(cfg)
    best = runner.message_hub.runtime_info.get("best_ckpt")
    if best is not None and go_on is None:
        runner.logger.info(
            f"Best checkpoint: {best}\nEvaluate it: {command('test')} {config} {best}"
        )
    return best


@contextmanager
def _nothing_trained() -> Iterator[None]:
    """Report a Ctrl-C before training starts; after that, InterruptHook handles it."""
    try:
        yield
    except KeyboardInterrupt:
        MMLogger.get_current_instance().info("Training has not started; run the same command again")
        raise


def _resume_command(
    config: str,
    work_dir: Optional[str],
    amp: Optional[str],
    auto_scale_lr: bool,
    cfg_options: Sequence[str],
    launcher: str,
    verbose: bool,
) -> str:
    words = [config]
    words += ["--work-dir", str(work_dir)] if work_dir else []
    words += ["--verbose"] if verbose else []
    words += ["--amp", amp] if amp else []
    words += ["--auto-scale-lr"] if auto_scale_lr else []
    words += ["--cfg-options", *cfg_options] if cfg_options else []
    words += ["--launcher", launcher] if launcher != "none" else []
    start = command("train")
    if launcher != "none":
        start = f"the same launcher command, with {start.removeprefix('python ')}"
    return f"{start} {shlex.join(map(str, words))} --resume"


def _set_auto_scale_lr(cfg: Config) -> None:
    if not cfg.get("auto_scale_lr", {}).get("base_batch_size"):
        raise UserError(
            f"--auto-scale-lr: {cfg.filename} has no auto_scale_lr.base_batch_size, the batch "
            "size that its learning rate was tuned for; add auto_scale_lr=dict(base_batch_size=N)"
        )
    cfg.auto_scale_lr.enable = True


def _check(cfg: Config, checked: bool) -> list[Finding]:
    warnings = [] if checked else check_run(cfg, ("train_dataloader", "val_dataloader"))
    check_tensorboard(cfg)
    return warnings


def _set_resume(cfg: Config, resume: Optional[str]) -> None:
    """Choose the checkpoint to resume from; all ranks use the same one."""
    if resume is None and cfg.get("resume"):
        resume = cfg.get("load_from") or "auto"
    if resume is None:
        return
    (path,) = gather_or_raise(lambda: _choose(cfg.work_dir, resume), is_first())
    if path is not None and is_distributed() and not is_url(path):
        _check_shared(path)
    if path is not None and is_first():
        print_log(f"Resuming from {path}")
    cfg.resume = path is not None
    if path is not None:
        cfg.load_from = path


def _check_shared(path: str) -> None:
    """Raise an error if rank 0's checkpoint is missing or different on another node."""

    def identify() -> tuple[str, str]:
        try:
            with open(Path(path).expanduser(), "rb") as file:
                digest = hashlib.sha256()
                while chunk := file.read(1 << 24):
                    digest.update(chunk)
        except OSError as error:
            raise UserError(
                f"{rank_prefix()}can't read {path} ({error.strerror}), which rank 0 resumes from; "
                "use a shared folder, or copy the file to the same path on all nodes"
            ) from error
        return rank_prefix(), digest.hexdigest()

    first, *others = gather_or_raise(identify, is_first_of_node())
    for where, digest in others:
        if digest != first[1]:
            raise UserError(
                f"{where}{path} is different from the file that rank 0 resumes from; use a "
                "shared folder, or copy the file to the same path on all nodes"
            )


def _choose(work_dir: str, resume: str) -> Optional[str]:
    """Check that the checkpoint can be read, or find the newest readable one."""
    if resume == "auto":
        path = find_resume(work_dir)
        if path is None:
            print_log(f"--resume: no checkpoint in {work_dir}; starting from scratch", "current")
        return path and str(path)
    try:
        read_checkpoint(resume)
    except UserError as error:
        before = None if is_url(resume) else find_resume(Path(resume).parent)
        hint = f"; {before} can be read, use --resume {before}" if before else ""
        raise UserError(f"{error}{hint}") from error
    return resume
