"""Assembles the config of a pretraining run, for use with `vanillanet-det train`."""

import logging
import os
from pathlib import Path
from typing import Any, Optional

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from ..configs import read_config_file
from ..datasets.classification import build_transform
from ..engine.config import remove_hooks
from ..errors import UserError
from ..installation import configs_folder
from .data import ClassificationData, Split
from .network import network_config
from .options import PretrainOptions
from .recipes import BATCH_SIZE, ITERATIONS, recipe_of

_TEMPLATE = "_base_/classification.py"
_WARM_UP = 5  # epochs of a whole recipe


def make_config(
    data: ClassificationData,
    options: PretrainOptions,
    ranks: int = 1,
    workers: Optional[int] = None,
) -> Config:
    """Assemble the config of a pretraining run.

    Args:
        data: The dataset.
        options: Everything else.
        ranks: Number of processes.
        workers: Processes that load images, for each of them.

    Raises:
        UserError: The options don't fit the dataset.
    """
    cfg = read_config_file(configs_folder() / _TEMPLATE)
    per_iteration = options.batch_size * options.accumulate * ranks
    if data.train.total < options.batch_size * ranks:
        raise UserError(
            f"--batch-size {options.batch_size}: there are only {data.train.total:,} training "
            f"images{f' for {ranks} processes' if ranks > 1 else ''}; choose a smaller one"
        )
    length = data.train.total // (options.batch_size * ranks)
    if options.accumulate > length:
        raise UserError(
            f"--accumulate {options.accumulate}: an epoch has only {length} batches; expected less"
        )
    if workers is not None and workers < 0:
        raise UserError(f"--workers {workers}: expected a number of processes, or 0")
    num_classes = len(data.classes)
    replaced: dict[str, Any] = dict(
        model=_model(options, num_classes),
        train_cfg=dict(type="EpochBasedTrainLoop", max_epochs=options.epochs, val_interval=1),
        optim_wrapper=_optimizer(options, per_iteration),
        param_scheduler=_schedule(options, length),
        randomness=dict(seed=options.seed),
        # What a resumed run compares with.
        pretraining=dict(
            model=options.model,
            is_scaled=options.width is not None or options.shortcuts,
            images=[data.train.total, data.val.total],
        ),
    )
    for key, value in replaced.items():
        cfg[key] = value
    count = min(4, os.cpu_count() or 1) if workers is None else workers
    for key, split, training in (
        ("train_dataloader", data.train, True),
        ("val_dataloader", data.val, False),
        ("test_dataloader", data.val, False),
    ):
        cfg[key] = _loader(data, split, options, count, training)
    _set_hooks(cfg, options, length)
    return cfg


def _model(options: PretrainOptions, num_classes: int) -> dict:
    teacher = None
    if options.teacher is not None:
        name, _, file = options.teacher.partition("=")
        teacher = dict(
            type="library_classifier",
            name=name,
            num_classes=num_classes,
            checkpoint=str(Path(file).expanduser().resolve()),
        )
    mixup = recipe_of(options.model).mixup if options.mixup is None else options.mixup
    return dict(
        type="ImageClassifier",
        backbone=network_config(options, num_classes),
        num_classes=num_classes,
        loss=options.loss,
        label_smoothing=options.label_smoothing,
        mixup=mixup,
        cutmix=options.cutmix,
        teacher=teacher,
        distillation=options.distillation,
    )


def _optimizer(options: PretrainOptions, per_iteration: int) -> dict:
    recipe = recipe_of(options.model)
    lr = options.lr or float(f"{recipe.lr * per_iteration / BATCH_SIZE:.3g}")
    decay = recipe.weight_decay if options.weight_decay is None else options.weight_decay
    factor, layers = recipe.layer_decay or (1.0, 6)
    factor = factor if options.layer_decay is None else options.layer_decay
    wrapper: dict[str, Any] = dict(
        type="OptimWrapper",
        optimizer=dict(type="timm_optimizer", name=options.optimizer, lr=lr, weight_decay=decay),
        accumulative_counts=options.accumulate,
        paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
    )
    if options.optimizer == "lamb":
        wrapper["optimizer"]["eps"] = 1e-8
    if factor != 1:
        wrapper["constructor"] = "LayerDecay"
        wrapper["paramwise_cfg"] = dict(num_layers=layers, decay_rate=factor)
    return wrapper


def _schedule(options: PretrainOptions, length: int) -> list[dict]:
    warm_up = round(_WARM_UP * options.epochs / recipe_of(options.model).epochs)
    warm_up = warm_up if options.warm_up is None else options.warm_up
    if warm_up >= options.epochs:
        raise UserError(f"--warm-up {warm_up}: expected less than --epochs {options.epochs}")
    begin = warm_up * length
    rise = dict(type="LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=begin)
    fall = dict(
        type="CosineAnnealingLR",
        eta_min=options.min_lr,
        by_epoch=False,
        begin=begin,
        end=options.epochs * length,
        T_max=options.epochs * length - begin,
    )
    return [rise, fall] if warm_up else [fall]


def _loader(
    data: ClassificationData, split: Split, options: PretrainOptions, workers: int, training: bool
) -> dict:
    return dict(
        batch_size=options.batch_size,
        num_workers=workers,
        persistent_workers=False,
        drop_last=training,
        sampler=dict(type="DefaultSampler", shuffle=training, seed=options.seed),
        collate_fn=dict(type="default_collate"),
        dataset=dict(
            type="ClassificationDataset",
            root=split.root,
            split=split.name,
            classes=list(data.classes),
            transform=transform_of(options, training),
            reader=data.reader,
            seed=options.seed,
        ),
    )


def _set_hooks(cfg: Config, options: PretrainOptions, length: int) -> None:
    remove_hooks(cfg, "CheckDataHook")
    # Over as large a share of the training as the published average; each batch adds to it.
    momentum = 4e-5 * ITERATIONS / (options.epochs * length) if options.ema is None else options.ema
    if momentum:
        cfg.default_hooks.ema = dict(
            type="EMAHook",
            ema_type="ExponentialMovingAverage",
            momentum=min(0.1, momentum) if options.ema is None else options.ema,
            update_buffers=True,
        )
    if options.is_deep:
        cfg.custom_hooks = [
            dict(type="DeepTrainingHook", end=options.rising_epochs, schedule=options.deep)
        ]
    cfg.default_hooks.logger.interval = max(1, min(50, length // 4))


def transform_of(options: PretrainOptions, training: bool) -> dict[str, Any]:
    """Return the arguments of timm's `create_transform`."""
    transform: dict[str, Any] = dict(
        input_size=options.input_size,
        is_training=training,
        interpolation="bicubic",
        mean=IMAGENET_DEFAULT_MEAN,
        std=IMAGENET_DEFAULT_STD,
        crop_pct=options.crop_pct,
    )
    if training:
        augment = None if options.auto_augment == "none" else options.auto_augment
        transform.update(
            auto_augment=augment,
            color_jitter=0.4 if options.colour_jitter is None else options.colour_jitter,
            scale=(options.crop_scale, 1.0),
            hflip=0.5 * options.flip,
            re_prob=options.erasing,
            re_mode="pixel",
        )
    return transform


def check_parts(cfg: Config) -> None:
    """Build the network, its optimizer and the transforms, and classify two images.

    Raises:
        UserError: One of them can't be built, or the network can't take images of this size.
    """
    with DefaultScope.overwrite_default_scope("mmdet"):
        for key in ("train_dataloader", "val_dataloader"):
            build_transform(cfg[key].dataset.transform)
        model = MODELS.build(cfg.model)
        # MMEngine would log a line for each parameter without weight decay.
        logging.disable(logging.INFO)
        try:
            build_optim_wrapper(model, cfg.optim_wrapper)
        finally:
            logging.disable(logging.NOTSET)
    size = cfg.val_dataloader.dataset.transform.input_size
    try:
        model(torch.zeros(2, 3, *size), torch.zeros(2, dtype=torch.long), mode="loss")
    except (AssertionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"--input-size {size[0]}x{size[1]}: the network can't classify images of this size "
            f"({reason})"
        ) from error
