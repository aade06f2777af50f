"""Training of classifiers, used by `vanillanet-det pretrain`."""

import json
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional

from mmdet.registry import DATASETS
from mmengine.config import Config

from ..checkpoints import find_resume
from ..datasets.classification import ClassificationDataset
from ..datasets.digit_images import DATA_ROOT, ensure_digit_images
from ..engine.amp import set_amp
from ..engine.config import check_writable
from ..engine.options import parse_device, parse_size
from ..errors import UserError, some
from ..fileio import atomic_write
from ..finetune.prepare import print_message
from ..inference.model_config import config_text
from ..installation import command
from ..pretraining.ablation import ACCURACY
from ..pretraining.config import make_config, transform_of
from ..pretraining.data import ClassificationData, read_data, unreadable
from ..pretraining.evaluation import evaluate, read_networks, table
from ..pretraining.network import published_arch
from ..pretraining.options import PretrainOptions
from ..pretraining.recipes import recipe_of
from ..pretraining.report import write_pretrain_report
from .train import train

_MODEL = "vanillanet6"
_NARROW = 24  # channels of the stem
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
    if device is not None:
        parse_device(device)
    if input_size is not None:
        options["input_size"] = parse_size(input_size, "input-size")
    given = {key: value for key, value in options.items() if value is not None}
    source = _Source(data, reader, tuple(splits) if splits else None)
    if evaluated is not None:
        _evaluate(evaluated, source, given, workers or 0, real)
        return
    where = Path(work_dir or f"work_dirs/pretrain_{given.get('model', _MODEL).replace(':', '_')}")
    path = where / "config" / "pretrain.py"
    if resume:
        _check_resumed(path, data, given)
    else:
        found, settings = source.read(given)
        _write_config(path, found, settings, amp, workers)
    if dry_run:
        return
    words = [*([str(data)] if data else []), "--work-dir", str(where), "--resume"]
    train(
        str(path),
        str(where),
        resume="auto" if resume else None,
        launcher=launcher,
        go_on=f"{command('pretrain')} {shlex.join(words)}",
        verbose=verbose,
        checked=True,
    )
    if _is_first():
        _finish(path, where)


SMALL = dict(
    epochs=20,
    batch_size=64,
    input_size=(64, 64),
    crop_scale=0.7,
    crop_pct=1.0,
    lr=0.02,
    loss="ce",
    weight_decay=0.05,
    layer_decay=1.0,
    mixup=0.0,
    cutmix=0.0,
    auto_augment="none",
    erasing=0.0,
    flip=False,
    ema=0.01,
)
"""Options for the embedded digits, which a narrow network learns in minutes."""


def _is_first() -> bool:
    return int(os.environ.get("RANK", 0)) == 0


class _Source(NamedTuple):
    """Where the images are; see `pretrain`."""

    data: Optional[str]
    reader: str
    splits: Optional[tuple[str, str]]

    def read(self, given: dict[str, Any]) -> tuple[ClassificationData, PretrainOptions]:
        """Read which images and classes there are, and complete the options for them."""
        data = self.data or ""
        if not data and not self.reader:
            data = str(ensure_digit_images(DATA_ROOT))
            narrow = {} if "model" in given else dict(width=_NARROW)
            given = {**SMALL, **narrow, **given}
        settings = PretrainOptions(**given)
        found, remarks = read_data(data, self.reader, self.splits)
        if _is_first():
            text = (
                f"{data or self.reader}: {len(found.classes)} classes ({some(found.classes, 5)}), "
                f"{found.train.total:,} training images, {found.val.total:,} validation images"
            )
            print_message("\n".join([text, *remarks]))
        return found, settings


def _evaluate(path: str, source: _Source, given: dict[str, Any], workers: int, real: bool) -> None:
    found, settings = source.read(given)
    dataset = ClassificationDataset(
        found.val.root,
        found.val.name,
        found.classes,
        transform_of(settings, training=False),
        found.reader,
    )
    networks = read_networks(path, len(found.classes))
    accuracies = evaluate(networks, dataset, settings.batch_size, workers, real)
    print_message(f"{path} on {len(dataset):,} images:\n{table(accuracies)}")


def _check_resumed(path: Path, data: Optional[str], options: dict[str, Any]) -> None:
    """Refuse to resume with other settings or another dataset."""
    if not path.is_file():
        raise UserError(f"--resume: no pretraining run in {path.parents[1]}; omit --resume")
    if options:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in options)
        raise UserError(f"--resume: uses the settings in {path}; omit {flags}")
    root = Path(Config.fromfile(path).train_dataloader.dataset.root)
    if data is not None and Path(data).expanduser().resolve() not in (root, *root.parents):
        raise UserError(f"--resume: the run in {path.parents[1]} uses {root}, not {data}")


def _write_config(
    path: Path,
    data: ClassificationData,
    settings: PretrainOptions,
    amp: Optional[str],
    workers: Optional[int],
) -> None:
    where = path.parents[1]
    if any(where.glob("*.pth")):
        raise UserError(
            f"--work-dir {where}: already contains a training run; resume it (--resume), or choose "
            "another folder"
        )
    ranks = int(os.environ.get("WORLD_SIZE", 1))
    cfg = make_config(data, settings, ranks, workers)
    set_amp(cfg, amp)
    if _is_first():
        check_writable(where)
        if data.train.total + data.val.total <= _MOST_DECODED:
            problems = unreadable(data)
            if problems:
                raise UserError(f"{some(problems, 1)}; replace the files, or remove them")
        print_message(_summary(cfg, settings))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:  # each rank writes the same
        file.write(config_text(cfg).encode())
    if _is_first():
        print_message(f"Config: {path}")


def _summary(cfg: Config, settings: PretrainOptions) -> str:
    arch = published_arch(settings.model)
    recipe = recipe_of(arch)
    kind = "published" if recipe.published else "ours, after that of VanillaNet-10"
    optimizer = cfg.optim_wrapper.optimizer
    deep = f"{settings.deep}, 1 from epoch {settings.last_deep_epoch} on"
    rows = {
        "network": settings.model,
        "recipe": f"{kind}; options replace its values",
        "epochs": settings.epochs,
        "optimizer": f"{optimizer.name}, learning rate {optimizer.lr:g}, weight decay "
        f"{optimizer.weight_decay:g}",
        "lambda": deep if settings.is_deep else "1 throughout",
    }
    return "\n".join(f"{key}: {value}" for key, value in rows.items())


def _finish(config: Path, where: Path) -> None:
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
        accuracies = {each.name: {"top1": each.top(1), "top5": each.top(5)} for each in found}
        file.write(json.dumps(accuracies, indent=1).encode())
    network = [network for name, network in networks.items() if "fused" not in name][-1]
    print_message(f"Report: {write_pretrain_report(cfg, found, network, dataset, where)}")
    print_message(f"Train a detector on it: {command('finetune')} DATA --weights {last}")
