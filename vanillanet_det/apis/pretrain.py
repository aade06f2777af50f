"""Training of classifiers, used by `vanillanet-det pretrain`."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from mmdet.registry import DATASETS
from mmengine.config import Config

from ..checkpoints import find_resume
from ..checkpoints.checkpoint import Checkpoint
from ..checks.finding import and_more
from ..datasets.classification import ClassificationDataset
from ..datasets.digit_images import DATA_ROOT
from ..engine.amp import set_amp
from ..engine.config import check_writable
from ..engine.folder_lock import hold_folder
from ..engine.launch import rendezvous
from ..engine.messages import print_message
from ..engine.options import parse_size, use_device
from ..errors import UserError, some
from ..fileio import atomic_write
from ..inference.model_config import config_text, model_config
from ..installation import command
from ..pretraining.ablation import ACCURACY
from ..pretraining.config import check_parts, make_config, transform_of
from ..pretraining.data import ClassificationData, read_data, unreadable
from ..pretraining.evaluation import evaluate, read_networks, table
from ..pretraining.network import published_arch
from ..pretraining.options import PretrainOptions
from ..pretraining.recipes import GRESNETS, recipe_of
from ..pretraining.report import write_pretrain_report
from ..pretraining.source import Source
from .train import train

_MODEL = "vanillanet6"
_TRANSFORM = {"input_size", "crop_pct"}
_MOST_DECODED = 100_000  # images; decoding more takes longer than finding a bad one while training


def pretrain(
    data: Optional[str] = None,
    work_dir: Optional[str] = None,
    resume: bool = False,
    dry_run: bool = False,
    input_size: Optional[str] = None,
    evaluated: Optional[str] = None,
    real: bool = False,
    reader: str = "",
    splits: Optional[Sequence[str]] = None,
    workers: Optional[int] = None,
    amp: Optional[str] = None,
    device: Optional[str] = None,
    launcher: str = "none",
    verbose: bool = False,
    **options: Any,
) -> None:
    """Train a classifier, or evaluate one.

    Args:
        data: Folder in the layout of ImageNet; None for the embedded digits, with which the options
            that are None suit two cores.
        work_dir: Output folder.
        resume: Resume the run in the work dir.
        dry_run: Check the data and write the config, but don't train.
        input_size: Side, or HEIGHTxWIDTH, of the images in pixels.
        evaluated: A file to evaluate instead.
        real: Judge it by the ReaL labels of ImageNet, too.
        reader: Name of the dataset for timm's `create_dataset`; '' for an image folder.
        splits: Names of the training and the validation split.
        workers: Processes that load images.
        amp: As for `train`.
        device: `cpu`, `cuda` or `cuda:1`.
        launcher: As for `train`.
        verbose: Print the whole log.
        **options: Those of `PretrainOptions` that aren't None.

    Raises:
        UserError: There is a mistake in an option, the data, a file or a folder.
    """
    use_device(device)
    if launcher != "none":
        os.environ.update(rendezvous(launcher, os.environ))  # who this process is
    if input_size is not None:
        options["input_size"] = parse_size(input_size, "input-size")
    given = {key: value for key, value in options.items() if value is not None}
    source = Source(data, reader, tuple(splits) if splits else None, launcher)
    if evaluated is not None:
        _evaluate(evaluated, source, given, workers or 0, real)
        return
    if real:
        raise UserError("--real: only with --evaluate FILE")
    if "distillation" in given and "teacher" not in given and not resume:
        raise UserError(f"--distillation {given['distillation']:g}: only with --teacher")
    where = Path(work_dir or f"work_dirs/pretrain_{given.get('model', _MODEL).replace(':', '_')}")
    path = where / "config" / "pretrain.py"
    if resume:
        others = dict(given, amp=amp, workers=workers)
        _check_resumed(path, source, {k: v for k, v in others.items() if v is not None})
    else:
        found, settings, text = source.read(given)
        if source.is_first:
            print_message(text)
        with hold_folder(where if source.is_first else None):
            _write_config(path, found, settings, amp, workers, source)
    if dry_run:
        return
    train(
        str(path),
        str(where),
        resume="auto" if resume else None,
        launcher=launcher,
        go_on=source.resume_command(where),
        verbose=verbose,
        checked=True,
    )
    if source.is_first:
        _finish(path, where, data)


def _evaluate(path: str, source: Source, given: dict[str, Any], workers: int, real: bool) -> None:
    """Evaluate a file as it was trained, unless options say how."""
    found, settings, text = source.read(given, evaluating=True)
    print_message(text)
    own = model_config(Checkpoint.read(path).content) or {}
    dataset = (own.get("val_dataloader") or {}).get("dataset") or {}
    transform = transform_of(settings, training=False)
    if dataset.get("type") == "ClassificationDataset":
        if tuple(dataset["classes"]) != found.classes:
            raise UserError(
                f"{path}: its classes are {some(dataset['classes'], 5)}, but the dataset's are "
                f"{some(found.classes, 5)}"
            )
        transform = transform if _TRANSFORM & set(given) else dataset["transform"]
    images = ClassificationDataset(
        found.val.root, found.val.name, found.classes, transform, found.reader
    )
    networks = read_networks(path, len(found.classes))
    accuracies = evaluate(networks, images, settings.batch_size, workers, real)
    height, width = transform["input_size"]
    print_message(f"{path} on {len(images):,} images of {height} x {width} pixels:")
    print_message(table(accuracies))


def _check_resumed(path: Path, source: Source, options: dict[str, Any]) -> None:
    """Refuse to resume with other settings or another dataset."""
    if not path.is_file():
        raise UserError(f"--resume: no pretraining run in {path.parents[1]}; omit --resume")
    cfg = Config.fromfile(path)
    if options.get("model") == cfg.pretraining.model:
        del options["model"]  # which chose the folder
    if options:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in options)
        raise UserError(f"--resume: uses the settings in {path}; omit {flags}")
    if source.data is None:
        return
    dataset = cfg.train_dataloader.dataset
    root = Path(dataset.root)
    if Path(source.data).expanduser().resolve() not in (root, *root.parents):
        raise UserError(f"--resume: the run in {path.parents[1]} uses {root}, not {source.data}")
    found, _ = read_data(source.data, source.reader, source.splits)
    now = [list(found.classes), [found.train.total, found.val.total]]
    if now != [list(dataset.classes), list(cfg.pretraining.images)]:
        raise UserError(
            f"--resume: {source.data} has changed since the run began, which had "
            f"{len(dataset.classes)} classes and {cfg.pretraining.images[0]:,} training images; "
            "start another run"
        )


def _write_config(
    path: Path,
    data: ClassificationData,
    settings: PretrainOptions,
    amp: Optional[str],
    workers: Optional[int],
    source: Source,
) -> None:
    where = path.parents[1]
    if any(where.glob("*.pth")):
        raise UserError(
            f"--work-dir {where}: already contains a training run; resume it (--resume), or choose "
            "another folder"
        )
    cfg = make_config(data, settings, source.ranks, workers)
    set_amp(cfg, amp)
    check_parts(cfg)
    if source.is_first:
        check_writable(where)
        if data.train.total + data.val.total <= _MOST_DECODED:
            problems = unreadable(data)
            if problems:
                raise UserError(
                    f"{and_more(problems[0], len(problems))}; replace the files, or remove them"
                )
        print_message(_summary(cfg, settings, source))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:  # each rank writes the same
        file.write(config_text(cfg).encode())
    if source.is_first:
        print_message(f"Config: {path}")


def _summary(cfg: Config, settings: PretrainOptions, source: Source) -> str:
    recipe = recipe_of(settings.model)
    kind = "published" if recipe.published else "ours, after that of VanillaNet-10"
    if settings.model in GRESNETS:
        kind = "published, but for learning rate, weight decay and mixup, which are ours"
    if cfg.pretraining.is_scaled:
        kind = "that of the published width"
    if not source.data and not source.reader:
        kind = "ours, for the embedded digits"
    optimizer = cfg.optim_wrapper.optimizer
    epochs = settings.rising_epochs
    rows = {
        "network": settings.model,
        "recipe": f"{kind}; options replace its values",
        "epochs": settings.epochs,
        "optimizer": f"{optimizer.name}, learning rate {optimizer.lr:g}, weight decay "
        f"{optimizer.weight_decay:g}",
        "lambda": f"rises in the first {epochs} epochs, {settings.deep}"
        if settings.is_deep
        else "1 throughout",
    }
    return "\n".join(f"{key}: {value}" for key, value in rows.items())


def _finish(config: Path, where: Path, data: Optional[str]) -> None:
    """Evaluate the last checkpoint of a run, and write the report."""
    last = find_resume(where)
    if last is None:
        return
    cfg = Config.fromfile(config)
    loader = cfg.val_dataloader
    dataset = DATASETS.build(loader.dataset)
    networks = read_networks(str(last), len(dataset.metainfo["classes"]))
    found = evaluate(networks, dataset, loader.batch_size, loader.num_workers)
    print_message(f"{last} on {len(dataset):,} images:\n{table(found)}")
    with atomic_write(where / ACCURACY) as file:
        accuracies = {each.name: {"top1": each.top(1), "top5": each.top_5} for each in found}
        file.write(json.dumps(accuracies, indent=1).encode())
    network = [network for name, network in networks.items() if "fused" not in name][-1]
    title = f"Pretraining on {Path(data or DATA_ROOT).name or loader.dataset.reader}"
    print_message(f"Report: {write_pretrain_report(cfg, found, network, dataset, where, title)}")
    model = cfg.pretraining.model
    if cfg.model.backbone.type in ("VanillaNetClassifier", "GResNetClassifier"):
        of_detector = "" if published_arch(model) or model in GRESNETS else f"--model {model} "
        words = f"{command('finetune')} DATA {of_detector}--weights {last}"
        print_message(f"Train a detector on it: {words}")
