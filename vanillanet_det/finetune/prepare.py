"""Builds a config from a dataset and a few options, inferring unspecified settings."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Union

from mmengine.config import Config

from ..configs import type_name
from ..datasets.formats import RawDataset
from ..engine.messages import print_message
from ..errors import UserError
from ..inference.settings import DetectionSettings, set_settings
from ..models.backbones.state_dict import Description
from .anchors import anchor_sizes, box_sizes, fit_anchors, histogram, measure_fit
from .config import FinetuneData, make_config
from .data import check_spelling, read_splits, write_annotations, write_text
from .limits import fit_limits
from .model import anchor_generator, has_masks, make_model, template_model
from .options import FinetuneOptions
from .schedule import (
    default_input_size,
    flat_share,
    learning_rate,
    light_input_size,
    num_epochs,
    schedule,
    set_averaging,
)
from .start import Start, read_start, transfer
from .tiles import cut_dataset


def prepare(
    data: Union[str, Path],
    template: Config,
    options: FinetuneOptions,
    work_dir: Path,
    light: bool = False,
) -> Config:
    """Build the config of a fine-tuning run, and write its annotations.

    Args:
        data: Folder, annotation file or archive of a dataset; see `read_dataset`.
        template: Config of the detector to train; its `tta_model` may be changed.
        options: Settings of the run.
        work_dir: Existing folder for the annotations and `weights.txt`.
        light: Choose a small input size by default.

    Raises:
        UserError: The dataset, weights and options don't match.
    """
    source = read_splits(data, options.skip_missing, work_dir)
    train, val = source.train, source.val
    start = read_start(options.weights)
    if options.model and start.model:
        _check_model(options.model, template_model(template), start)
        print_message(
            f"The network is loaded from {start.path}; --model only sets how it is trained"
        )
    model = make_model(
        template, start, len(source.classes), options.network, options.freeze, options.merged
    )
    _check_masks(model, source, train, val)
    check_spelling(train, val)
    uncut = source
    if options.tiles is not None:
        source = cut_dataset(source, work_dir.resolve() / "tiles", options.tiles, has_masks(model))
        print_message("\n".join(source.remarks))
        train, val = source.train, source.val
    size = options.input_size or (light_input_size if light else default_input_size)(train)
    longer, shorter = sorted(size, reverse=True)
    anchors = _fit_anchors(model, train, (longer, shorter))
    limited = dict(model=model, tta_model=template.get("tta_model"))
    detections = fit_limits(limited, train, val)
    batch_size = min(options.batch_size, len(train["images"]))
    epochs = options.epochs or num_epochs(len(train["images"]), batch_size)
    lr = options.lr or learning_rate(start.kind, batch_size)
    _report_transfer(start, model, source.classes, work_dir)
    tiles = options.tiles
    inferred = {
        "classes": ", ".join(source.classes),
        **({} if tiles is None else {"tiles": f"{tiles.size[0]} x {tiles.size[1]} pixels"}),
        "input size": f"{longer} x {shorter} pixels, keeping the aspect ratio",
        "anchors": anchors,
        "detections": detections,
        **({} if options.minutes else {"epochs": epochs}),
        "batch size": batch_size,
        "learning rate": lr,
    }
    print_message("\n".join(f"{key}: {value}" for key, value in inferred.items()))
    record: dict = dict(
        data=str(Path(data).expanduser().resolve()),
        format=source.format,
        weights=start.path or "random",
        **inferred,
    )
    if tiles is not None:
        path = write_annotations(work_dir, val_uncut=uncut.val) / "val_uncut.json"
        record["uncut"] = dict(annotations=str(path), root=str(uncut.root.resolve()))
    folder = write_annotations(work_dir, train=train, val=val)
    iterations = math.ceil(len(train["images"]) / batch_size)
    cfg = make_config(
        template,
        model,
        FinetuneData(
            root=source.root.resolve(),
            train=folder / "train.json",
            val=folder / "val.json",
            classes=source.classes,
            num_train=len(train["images"]),
        ),
        (longer, shorter),
        batch_size,
        options.augment,
        schedule(
            epochs,
            iterations,
            lr,
            batch_size,
            layer_decay=start.kind == "backbone",
            flat=flat_share(template),
        ),
        seed=options.seed,
        load_from=start.path if start.kind == "detector" else None,
        record=record,
    )
    set_averaging(cfg, epochs * iterations)
    if tiles is not None:
        set_settings(cfg, DetectionSettings(tiles=tiles))
    return cfg


def _check_model(name: str, model: dict, start: Start) -> None:
    """Raise an error if --model differs from the model that the weights come with."""
    expected, actual = _describe(model), _describe(start.model)
    if expected != actual:
        raise UserError(
            f"--model {name}: is a {expected}, but --weights {start.path} contains a {actual}, "
            "which would be trained instead; omit --model, or use other weights"
        )


def _describe(model: dict) -> str:
    return " with a ".join(type_name(part) for part in (model, model.get("backbone") or {}))


def _check_masks(model: dict, source: RawDataset, train: dict, val: dict) -> None:
    if not has_masks(model):
        return
    annotations = [*train["annotations"], *val["annotations"]]
    without = sum(not a.get("segmentation") for a in annotations)
    if without:
        raise UserError(
            f"--model mask-rcnn: {without} of {len(annotations)} {source.format} annotations "
            f"have no segmentation to learn masks from; use --model faster-rcnn or retinanet, "
            "which only learn boxes"
        )


def _fit_anchors(model: dict, train: dict, size: tuple[int, int]) -> str:
    """Replace a model's anchors if they don't fit the boxes; return a description of the result."""
    generator = anchor_generator(model)
    boxes = box_sizes(train, size)
    boxes = boxes[(boxes > 0).all(axis=1)]
    if generator is None or not len(boxes):
        return "none" if generator is None else "unchanged"
    better = fit_anchors(generator, boxes)
    if better is None:
        share = measure_fit(generator, boxes).share
        return f"unchanged; {100 * share:.0f} % of the boxes match an anchor"
    before = measure_fit(generator, boxes)
    print_message(
        f"{100 * (1 - before.share):.0f} % of the boxes match no anchor at IoU 0.5. New "
        f"anchors are used instead, for which this is {100 * (1 - better.share):.0f} %:\n"
        + histogram(boxes, anchor_sizes(generator))
    )
    changed = {k: v for k, v in better.generator.items() if v != generator.get(k)}
    generator.update(changed)
    new = ", ".join(f"{key} {value}" for key, value in changed.items())
    return f"{new}; {100 * better.share:.0f} % of the boxes match an anchor"


def _report_transfer(start: Start, model: dict, classes: Sequence[str], work_dir: Path) -> None:
    if start.kind == "nothing":
        print_message("Training starts from random weights, since --weights wasn't passed")
        write_text(work_dir / "weights.txt", "all weights are random\n")
        return
    if isinstance(
        start.backbone, Description
    ):  # the file's form is compared; weights are merged later
        merged = start.backbone.form == "merged"
        model = dict(model, backbone=dict(model["backbone"], merged=merged))
    found = transfer(start, model, classes)
    write_text(work_dir / "weights.txt", found.listing())
    print_message(f"{found.summary()}\nAll tensors are listed in {work_dir}/weights.txt")
