"""Assembles the config of a fine-tuning run, for use with `vanillanet-det train`."""

import copy
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from mmengine.config import Config, ConfigDict

from ..engine.config import remove_hooks
from .model import has_masks

_ZOOM = (0.6, 1.6)
AUGMENTATIONS = ("none", "flip", "scale")


@dataclass(frozen=True)
class FinetuneData:
    """The dataset of a fine-tuning run, stored as COCO files.

    Attributes:
        root: Image folder.
        train: Annotation file of the training images.
        val: Annotation file of the validation images.
        classes: Class names.
        num_train: Number of training images.
    """

    root: Path
    train: Path
    val: Path
    classes: tuple[str, ...]
    num_train: int


def make_config(
    template: Config,
    model: ConfigDict,
    data: FinetuneData,
    input_size: tuple[int, int],
    batch_size: int,
    augment: Sequence[str],
    schedule: dict,
    record: dict,
    seed: int = 0,
    load_from: Optional[str] = None,
) -> Config:
    """Assemble the config of a fine-tuning run.

    Args:
        template: Config to copy hooks and logging from.
        model: Config of the model.
        data: Dataset to train and evaluate on.
        input_size: Longer and shorter side that images are resized to, keeping the aspect ratio.
        batch_size: Number of images in a batch.
        augment: Names from `AUGMENTATIONS`.
        schedule: `train_cfg`, `optim_wrapper` and `param_scheduler`.
        record: Settings of the run, stored in the config as `finetune`.
        seed: Seed of random numbers.
        load_from: Detector checkpoint to start from.
    """
    cfg = copy.deepcopy(template)
    masks = has_masks(model)
    for key in ("data_root", "train_pipeline", "test_pipeline", "max_epochs", "randomness"):
        cfg.pop(key, None)
    train, val = _loaders(data, input_size, batch_size, augment, masks)
    evaluator = dict(
        type="FasterCocoMetric",
        ann_file=str(data.val),
        metric=["bbox", "segm"] if masks else ["bbox"],
    )
    replaced: dict[str, object] = dict(
        model=model,
        train_dataloader=train,
        val_dataloader=val,
        test_dataloader=copy.deepcopy(val),
        val_evaluator=evaluator,
        test_evaluator=dict(evaluator),
        tta_pipeline=_tta_pipeline(input_size, "flip" in augment),
        load_from=load_from,
        randomness=dict(seed=seed),
        finetune=record,
        **schedule,
    )
    for key, value in replaced.items():
        cfg[key] = value
    hooks = cfg.setdefault("default_hooks", ConfigDict())
    remove_hooks(cfg, "PipelineSwitchHook")  # it would load images as the template does
    hooks.curves = dict(type="CurvesHook")
    hooks.checkpoint = dict(
        type="CheckpointHook",
        interval=1,
        max_keep_ckpts=2,
        save_best="coco/bbox_mAP",
        rule="greater",
        backend_args=dict(backend="atomic"),
    )
    # A head for classes that nobody knows is replaced.
    hooks.check_weights = dict(type="CheckWeightsHook", remake_unnamed=True)
    interval = max(1, min(50, data.num_train // batch_size // 4))
    hooks.logger = dict(type="LoggerHook", interval=interval)
    return cfg


def _loaders(
    data: FinetuneData, size: tuple[int, int], batch_size: int, augment: Sequence[str], masks: bool
) -> tuple[dict, dict]:
    load = dict(type="LoadReadableImage")
    annotations = dict(type="LoadAnnotations", with_bbox=True, with_mask=masks)
    pack = dict(type="PackDetInputs")
    resize = dict(type="Resize", scale=size, keep_ratio=True)
    zoom = dict(type="RandomZoom", scale=size, zoom=_ZOOM)
    flip = [dict(type="RandomFlip", prob=0.5)] if "flip" in augment else []
    train_steps = [load, annotations, zoom if "scale" in augment else resize, *flip, pack]
    workers = min(4, os.cpu_count() or 1)
    shared = dict(num_workers=workers, persistent_workers=True)
    files = dict(
        type="CocoDataset",
        metainfo=dict(classes=data.classes),
        data_root="",
        data_prefix=dict(img=str(data.root)),
    )
    train = dict(
        batch_size=batch_size,
        sampler=dict(type="DefaultSampler", shuffle=True),
        batch_sampler=dict(type="AspectRatioBatchSampler"),
        dataset=dict(
            files,
            ann_file=str(data.train),
            # Images without boxes are background examples, however small they are.
            filter_cfg=dict(filter_empty_gt=False, min_size=1),
            pipeline=train_steps,
        ),
        **shared,
    )
    val = dict(
        batch_size=batch_size,
        sampler=dict(type="DefaultSampler", shuffle=False),
        drop_last=False,
        dataset=dict(
            files,
            ann_file=str(data.val),
            test_mode=True,
            pipeline=[load, resize, dict(annotations), pack],
        ),
        **shared,
    )
    return train, val


def _tta_pipeline(size: tuple[int, int], flip: bool) -> list[dict]:
    scales = [tuple(round(side * factor) for side in size) for factor in (1.0, 0.8, 1.2)]
    return [
        dict(type="LoadReadableImage"),
        dict(
            type="TestTimeAug",
            transforms=[
                [dict(type="Resize", scale=scale, keep_ratio=True) for scale in scales],
                [dict(type="RandomFlip", prob=prob) for prob in ((1.0, 0.0) if flip else (0.0,))],
                [dict(type="LoadAnnotations", with_bbox=True)],
                [dict(type="PackDetInputs")],
            ],
        ),
    ]
