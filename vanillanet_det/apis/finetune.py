"""Fine-tuning on a dataset, used by `vanillanet-det finetune`."""

import json
import shlex
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import DefaultScope

from ..checkpoints import find_resume
from ..checks import check_config, report, stop_at_errors
from ..engine.amp import set_amp
from ..engine.config import check_writable, config_errors, read_config
from ..engine.folder_lock import hold_folder
from ..engine.messages import print_message
from ..engine.options import parse_size, use_device
from ..engine.size_errors import size_errors
from ..errors import UserError
from ..finetune.cost import fit_length, fit_workers, measure_cost
from ..finetune.data import write_config
from ..finetune.fused import save_fused
from ..finetune.model import has_masks
from ..finetune.options import FinetuneOptions
from ..finetune.prepare import prepare
from ..finetune.report import write_finetune_report
from ..finetune.resuming import check_compared, check_resumed
from ..finetune.tiles import validation_images
from ..finetune.uncut import detect_uncut
from ..finetune.yolo import can_fuse, is_yolo, prepare_yolo, train_yolo
from ..inference.settings import find_settings, set_settings
from ..installation import command
from ..models.protocols import KnowsForms
from ..runtime.tiles import Tiles
from .test import test
from .train import train

_TEMPLATES = {
    "retinanet": "retinanet_vanillanet11_coco",
    "mask-rcnn": "mask_rcnn_vanillanet11_coco",
    "faster-rcnn": "faster_rcnn_vanillanet11_coco",
    "nano": "nano_digits",
    "small": "small_digits",
    "base": "base_digits",
}
_LIGHT = ("nano", "small", "base")  # for training from random weights without a GPU
_LIGHT_MINUTES = 12.0


def finetune(
    data: str,
    model: Optional[str] = None,
    input_size: Optional[str] = None,
    tiles: Optional[str] = None,
    amp: Optional[str] = None,
    device: Optional[str] = None,
    work_dir: Optional[str] = None,
    compare: Sequence[str] = (),
    resume: bool = False,
    dry_run: bool = False,
    verbose: bool = False,
    began: Optional[float] = None,
    **options: Any,
) -> None:
    """Check the dataset and the settings, fine-tune a detector, and report the result.

    Args:
        data: Folder, annotation file or archive of a dataset; see `read_dataset`.
        model: `nano`, `small`, `base`, `retinanet`, `mask-rcnn`, `faster-rcnn`, or another
            detector's config; or `yolo11`, or a YAML of Ultralytics; None uses the detector of the
            weights, else `small` without a GPU and `retinanet` with one.
        input_size: Such as `640` or `480x640` (height x width); None uses the size of the
            images, up to COCO's.
        tiles: Size of the tiles that images are cut into, such as `640` or `480x640`; None or
            `none` doesn't cut them.
        amp: Mixed precision, as for `train`.
        device: `cpu`, `cuda` or `cuda:1`; None uses a GPU if available.
        work_dir: Output folder; None for `work_dirs/<name of the dataset>`.
        compare: Work dirs of other runs to include in the report's curves.
        resume: Resume the run in `work_dir`; `epochs` (in total) or `minutes` (more) extend it.
        dry_run: Check the data and write the config, but don't train.
        verbose: Print the whole log of the training and of the evaluation.
        began: Reading of `time.monotonic` from which `minutes` count; None for now.
        **options: Other fields of `FinetuneOptions`.

    Raises:
        UserError: There is a mistake in the dataset, the weights, a value or the work dir.
    """
    began = time.monotonic() if began is None else began
    use_device(device)
    source = Path(data).expanduser().resolve()
    where = Path(work_dir or f"work_dirs/{source.stem if source.is_file() else source.name}")
    # Not in `where` itself, because MMEngine dumps each run's config there under the same name.
    path = where / "config" / "finetune.py"
    check_compared(compare)
    size = parse_size(input_size, "input-size") if input_size else None
    lists = {name: tuple(value) for name, value in options.items() if isinstance(value, list)}
    cut = Tiles.parse(tiles) or None
    settings = FinetuneOptions(model=model, input_size=size, tiles=cut, **{**options, **lists})
    if resume:
        check_resumed(path, source, settings, amp, dry_run)
    else:
        told = "Training has not started; run the same command again"
        with _on_interrupt(told), hold_folder(where):
            _write_config(path, data, _complete(settings), amp, where, began, dry_run)
        print_message(f"Config: {path}\nRun it again: {command('train')} {path} --work-dir FOLDER")
    if dry_run:
        return
    words = [str(data), "--work-dir", str(where), "--resume"]
    words += ["--device", device] if device else []
    words += ["--verbose"] if verbose else []
    words += ["--compare", *map(str, compare)] if compare else []
    go_on = f"{command('finetune')} {shlex.join(words)}"
    cfg = Config.fromfile(path)
    if "yolo" in cfg.finetune:
        left = 60 * settings.minutes - (time.monotonic() - began) if settings.minutes else None
        with _on_interrupt(f"To go on: {go_on}"), hold_folder(where):
            best = train_yolo(cfg, where, resume, left)
    else:
        best = train(
            str(path),
            str(where),
            resume="auto" if resume else None,
            go_on=go_on,
            verbose=verbose,
            checked=not resume,
        )
    with _on_interrupt(f"Training is complete; to fuse, evaluate and report, run: {go_on}"):
        _finish(path, best or str(find_resume(where)), where, compare, verbose)


def _complete(settings: FinetuneOptions) -> FinetuneOptions:
    """Choose what suits a machine without a GPU, and say so."""
    if get_device() not in ("cpu", "mps"):  # a Mac's GPU lacks some of MMDetection's operators
        return settings
    if (settings.model, settings.weights, settings.backbone) == (None, None, None):
        settings = replace(settings, model="small")
        print_message(
            "No CUDA GPU and no --weights: training `small`; --model base or retinanet trains a "
            "larger detector"
        )
    if settings.model in _LIGHT and not (settings.epochs or settings.minutes):
        settings = replace(settings, minutes=_LIGHT_MINUTES)
        print_message(
            f"The command will take about {_LIGHT_MINUTES:g} minutes; --minutes N or --epochs N "
            "changes that"
        )
    return settings


def _write_config(
    path: Path,
    data: str,
    settings: FinetuneOptions,
    amp: Optional[str],
    where: Path,
    began: float,
    dry_run: bool,
) -> None:
    """Build a config, check it, and write it if there are no errors."""
    if any(where.glob("*.pth")):
        raise UserError(
            f"--work-dir {where}: already contains a training run; resume it (--resume), or choose "
            "another folder"
        )
    if (where / "annotations").exists() and not (where / "weights.txt").exists():
        raise UserError(
            f"--work-dir {where}: already contains annotations, which would be overwritten; choose "
            "another folder"
        )
    foreign = is_yolo(settings.model)
    template = "retinanet" if foreign else settings.model or "retinanet"
    cfg = read_config(_TEMPLATES.get(template, template))
    check_writable(where)
    try:
        with DefaultScope.overwrite_default_scope(cfg.get("default_scope") or "mmdet"):
            if foreign:
                cfg = prepare_yolo(data, cfg, settings, where, amp is not None)
            else:
                cfg = prepare(data, cfg, settings, where, light=template in _LIGHT)
                set_amp(cfg, amp)
            findings = check_config(cfg, images=True)
        print_message(report(findings) or "Dataset, weights and config: no problems found")
        stop_at_errors(findings)
        if not foreign and (settings.minutes or not dry_run):
            with config_errors(cfg), size_errors(cfg):
                cost = measure_cost(cfg)
            spent = time.monotonic() - began
            left = 60 * settings.minutes - spent if settings.minutes else None
            fit_workers(cfg, cost)
            print_message(fit_length(cfg, cost, left))
        path.parent.mkdir(exist_ok=True)
        write_config(path, cfg)
    except OSError as error:
        raise UserError(
            f"{error.filename or where}: can't be read or written ({error.strerror or error})"
        ) from error


def _finish(
    config: Path, checkpoint: str, where: Path, compare: Sequence[str], verbose: bool
) -> None:
    """Fuse a checkpoint, evaluate it, and write the report."""
    cfg = Config.fromfile(config)
    detector = checkpoint
    # First, in case the evaluation fails.
    foreign = "yolo" in cfg.finetune
    if not foreign and isinstance(MODELS.get(cfg.model.backbone.type), KnowsForms):
        detector = str(where / "deployed.pth")
        save_fused(str(config), checkpoint, detector)
    if cfg.get("finetune", {}).get("uncut"):
        detections = detect_uncut(cfg, detector)
    else:
        detections = _evaluate(cfg, config, checkpoint, where, verbose)
    path, summary = write_finetune_report(cfg, checkpoint, detections, where, compare)
    classes = cfg.val_dataloader.dataset.metainfo.classes
    scores = tuple(summary.class_scores[name] for name in classes)
    set_settings(cfg, replace(find_settings(cfg, classes), class_scores=scores))
    write_config(config, cfg)
    if detector != checkpoint:
        save_fused(cfg, checkpoint, detector)
    precisions = ", ".join(
        f"{kind} AP {ap:.3f}"
        for kind, ap in (("bbox", summary.ap), ("segm", summary.mask_ap))
        if ap is not None
    )
    print_message(
        f"{precisions or 'No objects to find'}, evaluated on {validation_images(cfg)[0]}\n"
        f"Report: {path}\n"
        f"Detector: {detector}\n"
        f"Detect: {_detect_with(detector, foreign)}\n"
        + "".join(f"Advice: {each}\n" for each in summary.advice)
    )


def _evaluate(cfg: Config, config: Path, checkpoint: str, where: Path, verbose: bool) -> list[dict]:
    """Return a checkpoint's detections as COCO results."""
    with tempfile.TemporaryDirectory() as folder:
        prefix = f"{folder}/detections"
        test(
            str(config),
            checkpoint,
            work_dir=str(where),
            cfg_options=[f"test_evaluator.outfile_prefix={prefix}"],
            verbose=verbose,
            checked=True,
            deploy="yolo" not in cfg.finetune or can_fuse(checkpoint),
        )
        file = Path(f"{prefix}.{'segm' if has_masks(cfg.model) else 'bbox'}.json")
        # MMDetection writes no file if there are no detections.
        return json.loads(file.read_bytes()) if file.is_file() else []


def _detect_with(detector: str, foreign: bool) -> str:
    if foreign:
        return f"vanillanet-yolo predict {shlex.quote(f'model={detector}')} source=IMAGES"
    return f"{command('infer')} {shlex.quote(detector)} IMAGES --out FOLDER"


@contextmanager
def _on_interrupt(message: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        print_message(message)
        raise
