"""Fine-tuning of YOLO11-VanillaNet, which Ultralytics trains."""

import json
import math
import re
import time
from dataclasses import fields
from pathlib import Path
from typing import Any, Optional

import torch
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device

from ..checkpoints.download import is_url
from ..configs import is_ultralytics
from ..engine.messages import print_message
from ..errors import UserError
from ..inference.ultralytics import load_yolo
from .config import FinetuneData, make_config
from .data import check_spelling, read_splits, write_annotations, write_text
from .options import FinetuneOptions
from .schedule import default_input_size, learning_rate, num_epochs, schedule

_NAME = re.compile(r"yolo11([nslmx]?)(-vanillanet\d+)?")
_BACKBONES = ("vanillanet5", "vanillanet9", "vanillanet11")
_STRIDE = 32
_EVALUATING = 0.1  # share of the time that isn't left for training
_UNUSED = ("freeze", "merged", "tiles")


def is_yolo(model: Optional[str]) -> bool:
    """Return whether `--model` names a network that Ultralytics trains."""
    return model is not None and (bool(_NAME.fullmatch(model)) or is_ultralytics(model))


def find_yaml(options: FinetuneOptions) -> str:
    """Return the YAML that `--model` and `--backbone` name.

    Raises:
        UserError: There is no YAML for the backbone, or an option isn't for these networks.
    """
    defaults = {field.name: field.default for field in fields(options)}
    for name in (name for name in _UNUSED if getattr(options, name) != defaults[name]):
        raise UserError(f"--{name}: isn't for --model {options.model}; omit it")
    found = _NAME.fullmatch(options.model)
    if found is None:
        if options.backbone is not None:
            raise UserError(f"--backbone {options.backbone}: {options.model} has its own; omit it")
        return options.model
    backbone = options.backbone or (found[2] or "-vanillanet5").removeprefix("-")
    if backbone not in _BACKBONES or (options.backbone and found[2]):
        raise UserError(
            f"--backbone {backbone}: expected {' or '.join(_BACKBONES)} with --model yolo11"
        )
    return f"yolo11{found[1] or 'n'}-{backbone}.yaml"


def prepare_yolo(
    data: str, template: Config, options: FinetuneOptions, work_dir: Path, amp: bool = False
) -> Config:
    """Write a dataset in YOLO's and in COCO's format, and a config to evaluate on it.

    Args:
        data: Folder, annotation file or archive of a dataset; see `read_dataset`.
        template: Config to copy hooks and logging from.
        options: Settings of the run.
        work_dir: Existing folder for the datasets.
        amp: Whether to train in mixed precision, before which Ultralytics downloads a network.

    Returns:
        A config whose `finetune.yolo` are arguments of Ultralytics' `train`.

    Raises:
        UserError: The dataset and the options don't match, or Ultralytics isn't installed.
    """
    yaml = find_yaml(options)
    yolo, networks = load_yolo("data", yaml), load_yolo("networks", yaml)
    networks.check_reading(yaml)  # of the trained network
    if type(networks.open_network(yaml).model[-1]).__name__ != "Detect":
        raise UserError(f"--model {yaml}: learns masks; expected a YAML whose head is Detect")
    weights = _check_weights(options.weights, yaml)
    source = read_splits(data, options.skip_missing, work_dir)
    train, val = source.train, source.val
    check_spelling(train, val)
    path, crowds = yolo.write_yolo(dict(train=train, val=val), source.root, work_dir / "yolo_data")
    if crowds:
        print_message(f"{crowds} crowds are left out: YOLO's format has none")
    own = work_dir / Path(yaml).name  # with the letter of its scale
    write_text(own, networks.yaml_text(yaml, len(source.classes)))
    longer = max(options.input_size or default_input_size(train))
    side = math.ceil(longer / _STRIDE) * _STRIDE
    batch_size = min(options.batch_size, len(train["images"]))
    epochs = options.epochs or num_epochs(len(train["images"]), batch_size)
    lr = options.lr or learning_rate("nothing", batch_size)
    augmented = "none" not in options.augment
    arguments = dict(
        data=str(path.resolve()),
        imgsz=side,
        batch=batch_size,
        epochs=epochs,
        seed=options.seed,
        optimizer="AdamW",
        lr0=lr,
        fliplr=0.5 if "flip" in options.augment else 0.0,
        scale=0.5 if "scale" in options.augment else 0.0,
        mosaic=1.0 if augmented else 0.0,
        device=str(torch.cuda.current_device()) if get_device() == "cuda" else get_device(),
        workers=4,
        amp=amp,
        plots=False,
        project=str(work_dir.resolve()),
        name="ultralytics",
        exist_ok=True,
    )
    inferred = {
        "classes": ", ".join(source.classes),
        "input size": f"{side} x {side} pixels, keeping the aspect ratio",
        **({} if options.minutes else {"epochs": epochs}),
        "batch size": batch_size,
        "learning rate": lr,
    }
    print_message("\n".join(f"{key}: {value}" for key, value in inferred.items()))
    record = dict(
        data=str(Path(data).expanduser().resolve()),
        format=source.format,
        weights=weights or "random",
        yolo=dict(arguments, model=str(own.resolve()), weights=weights),
        **inferred,
    )
    folder = write_annotations(work_dir, train=train, val=val)
    iterations = math.ceil(len(train["images"]) / batch_size)
    return make_config(
        template,
        ConfigDict(type="UltralyticsDetector", path=str(own.resolve())),
        FinetuneData(
            root=source.root.resolve(),
            train=folder / "train.json",
            val=folder / "val.json",
            classes=source.classes,
            num_train=len(train["images"]),
        ),
        (side, side),
        batch_size,
        options.augment,
        schedule(epochs, iterations, lr, batch_size, layer_decay=False),
        seed=options.seed,
        record=record,
    )


def _check_weights(path: Optional[str], yaml: str) -> Optional[str]:
    """Return an absolute path of weights that fit a YAML, which are read safely.

    Raises:
        UserError: They can't be read, or don't fit.
    """
    if path is None:
        return None
    networks = load_yolo("networks", yaml)
    if path.endswith(".pt"):  # Ultralytics reads it later, not as safely
        networks.open_network(path)
    else:
        load_yolo("weights", yaml).load_backbone(networks.YOLO(yaml), path)
    return path if is_url(path) else str(Path(path).expanduser().resolve())


def train_yolo(cfg: Config, where: Path, resume: bool, seconds: Optional[float] = None) -> str:
    """Train as a config of `prepare_yolo` says, with Ultralytics.

    Args:
        cfg: The config.
        where: Folder of the run.
        resume: Go on with the last checkpoint.
        seconds: Time for training and evaluation; None for the config's epochs.

    Returns:
        The best checkpoint.

    Raises:
        UserError: There is nothing to resume, or the weights don't fit.
    """
    arguments = dict(cfg.finetune.yolo)
    model, weights = arguments.pop("model"), arguments.pop("weights")
    make = load_yolo("networks", model).YOLO
    last = where / "ultralytics" / "weights" / "last.pt"
    if resume and not last.is_file():
        raise UserError(f"--resume: {last} is missing; omit --resume")
    is_start = weights is not None and str(weights).endswith(".pt")
    yolo = make(str(last) if resume else weights if is_start else model)
    if weights is not None and not is_start and not resume:
        load_yolo("weights", model).load_backbone(yolo, weights)
    yolo.add_callback("on_fit_epoch_end", _Log(where))
    if seconds is not None:
        arguments["time"] = max(seconds, 60) * (1 - _EVALUATING) / 3600
    yolo.train(resume=True) if resume else yolo.train(**arguments)
    best = last.with_name("best.pt")
    return str(best if best.is_file() else last)


class _Log:
    """Callback that writes losses and metrics as MMEngine does, for the report's curves.

    Args:
        where: Folder of the run.
    """

    def __init__(self, where: Path) -> None:
        stamp = time.strftime("%Y%m%d_%H%M%S")
        self._path = where / stamp / "vis_data" / "scalars.json"
        self._has_ended = False

    def __call__(self, trainer: Any) -> None:
        if self._has_ended:  # called once more, for the best checkpoint
            return
        self._has_ended, epoch = bool(trainer.stop), trainer.epoch + 1
        losses = trainer.label_loss_items(trainer.tloss, prefix="train")
        values = {name.partition("/")[2]: float(value) for name, value in losses.items()}
        values["loss"] = sum(values.values())
        network = getattr(trainer.model, "module", trainer.model)
        if hasattr(network.model[0], "read_lambda"):
            values["act_lambda"] = network.model[0].read_lambda()
        step = epoch * len(trainer.train_loader)
        rate = next(iter(trainer.lr.values()), 0.0)
        lines = [dict(values, lr=float(rate), iter=step, step=step, epoch=epoch)]
        metrics = trainer.metrics or {}
        names = {"mAP50-95(B)": "coco/bbox_mAP", "mAP50(B)": "coco/bbox_mAP_50"}
        found = {ours: metrics.get(f"metrics/{theirs}") for theirs, ours in names.items()}
        if None not in found.values():
            lines.append({**{name: float(value) for name, value in found.items()}, "step": epoch})
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)


def can_fuse(checkpoint: str) -> bool:
    """Return whether lambda of a checkpoint is 1."""
    network = load_yolo("networks", checkpoint).open_network(checkpoint)
    return all(m.read_lambda() == 1 for m in network.modules() if hasattr(m, "read_lambda"))
