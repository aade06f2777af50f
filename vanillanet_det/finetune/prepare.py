"""From data and a few wishes to a config: everything that wasn't asked for is derived."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Union

from mmengine.config import Config
from mmengine.logging import print_log

from ..checks.classes import plain_name
from ..datasets.formats import Source, read_source, split
from ..errors import UserError
from ..fileio import atomic_write
from ..runtime.console import printable
from .anchors import anchor_sizes, box_sizes, fit_anchors, histogram, rate
from .config import AUGMENTATIONS, Data, make_config
from .model import anchor_generator, has_masks, make_model, template_model
from .schedule import image_size, learning_rate, num_epochs, schedule
from .start import Start, read_start, transfer


@dataclass(frozen=True)
class Wishes:
    """What a user asked for; None is derived.

    Attributes:
        model: Detector, or the config file of one.
        weights: Checkpoint of a detector, or published ImageNet weights; None for random ones.
        arch: Published arch of VanillaNet.
        epochs: How often each picture is seen.
        batch_size: Images in a batch.
        lr: Learning rate.
        image_size: Sides that pictures are resized into, keeping their ratio.
        augment: Of `AUGMENTATIONS`.
        freeze: Last stage of the backbone that isn't trained, 0 for the stem; -1 for none.
        merged: Train VanillaNet's merged form.
    """

    model: Optional[str] = None
    weights: Optional[str] = None
    arch: Optional[str] = None
    epochs: Optional[int] = None
    batch_size: int = 8
    lr: Optional[float] = None
    image_size: Optional[tuple[int, int]] = None
    augment: Sequence[str] = ("flip", "scale")
    freeze: int = -1
    merged: bool = False

    def __post_init__(self) -> None:
        """Refuse values that make no training."""
        for flag, value in (("epochs", self.epochs), ("batch-size", self.batch_size)):
            if value is not None and value < 1:
                raise UserError(f"--{flag} {value}: expected a whole number from 1")
        if self.freeze < -1:
            raise UserError(
                f"--freeze {self.freeze}: expected the last stage to keep, from 0 for the stem, or "
                "-1 for none"
            )
        if self.lr is not None and not 0 < self.lr < math.inf:
            raise UserError(f"--lr {self.lr:g}: expected a number above 0, such as 0.0005")
        if "none" in self.augment and len(self.augment) > 1:
            names = ", ".join(AUGMENTATIONS[1:])
            raise UserError(f"--augment none: stands alone; or else of {names}")


def prepare(data: Union[str, Path], template: Config, wishes: Wishes, where: Path) -> Config:
    """Make the config of a fine-tuning, and write its annotations.

    Args:
        data: COCO JSON or folder, YOLO, Pascal VOC or LabelMe folder.
        template: Config of the detector to train.
        wishes: What is asked for.
        where: Folder for what is written, which is there.

    Raises:
        UserError: Data, weights and wishes don't fit together.
    """
    source = read_source(Path(data))
    say("\n".join(source.remarks))
    train, val = source.train, source.val
    if val is None:
        train, val = split(train, source.root)
        say(f"No validation split: one is made, which {where}/annotations tells")
    say(f"To train on: {_count(train)}\nTo evaluate on: {_count(val)}")
    start = read_start(wishes.weights)
    if wishes.model and start.model:
        _check_model(wishes.model, template_model(template), start)
        say(f"The network is that of {start.path}; --model gives how it is trained")
    model = make_model(
        template, start, len(source.classes), wishes.arch, wishes.freeze, wishes.merged
    )
    _check_masks(model, source, train, val)
    _check_classes(train, val)
    longer, shorter = sorted(wishes.image_size or image_size(train), reverse=True)
    size = longer, shorter
    anchors = _fit_anchors(model, train, size)
    batch_size = min(wishes.batch_size, len(train["images"]))
    epochs = wishes.epochs or num_epochs(len(train["images"]), batch_size)
    rate_ = wishes.lr or learning_rate(start.kind, batch_size)
    _say_transfer(start, model, where)
    derived = {
        "classes": ", ".join(source.classes),
        "pictures": f"resized into {longer} x {shorter} pixels",
        "anchors": anchors,
        "epochs": epochs,
        "batch size": batch_size,
        "learning rate": rate_,
    }
    say("\n".join(f"{key}: {value}" for key, value in derived.items()))
    return make_config(
        template,
        model,
        _write(where, source, train, val),
        size,
        batch_size,
        wishes.augment,
        schedule(
            epochs,
            math.ceil(len(train["images"]) / batch_size),
            rate_,
            batch_size,
            layer_decay=start.kind == "backbone",
        ),
        load_from=start.path if start.kind == "detector" else None,
        record=dict(
            data=str(Path(data).expanduser().resolve()),
            form=source.form,
            weights=start.path or "random",
            **derived,
        ),
    )


def say(text: str) -> None:
    """Print to standard output, before there is a log."""
    print_log(printable(text))


def _count(content: dict) -> str:
    names = {category["id"]: category["name"] for category in content["categories"]}
    counts = Counter(names[a["category_id"]] for a in content["annotations"])
    most = ", ".join(f"{name} {count}" for name, count in counts.most_common(5))
    others = ", ..." if len(counts) > 5 else ""
    boxes = f"{len(content['annotations'])} boxes"
    return f"{len(content['images'])} pictures with {boxes} ({most}{others})"


def _check_model(given: str, asked: dict, start: Start) -> None:
    """Refuse a model beside weights that bring another one, which is what would be trained."""
    asked_kind, own_kind = (_kind(model) for model in (asked, start.model))
    if asked_kind != own_kind:
        raise UserError(
            f"--model {given}: is a {asked_kind}, but --weights {start.path} are of a {own_kind}, "
            "which is what would be trained; leave --model out, or take other weights"
        )


def _kind(model: dict) -> str:
    kinds = (model.get("type"), (model.get("backbone") or {}).get("type"))
    return " with a ".join(str(kind).rpartition(".")[2] for kind in kinds)


def _check_classes(train: dict, val: dict) -> None:
    """Say which classes can't be learned; two spellings of one are a mistake."""
    learned, asked = ({a["category_id"] for a in part["annotations"]} for part in (train, val))
    name_of = {category["id"]: category["name"] for category in train["categories"]}
    names = {name_of[id] for id in learned}
    unknown = sorted(name_of[id] for id in asked - learned)
    for name in unknown:
        same = [other for other in names if _spelling(other) == _spelling(name)]
        if same:
            raise UserError(
                f"class {name!r} is in validation pictures alone, and {same[0]!r} in training "
                "pictures; give both the same name in the annotations"
            )
    if unknown:
        say(
            f"warning: no training picture has {', '.join(unknown)}, which validation pictures "
            "have: AP 0 is all that they can get"
        )


def _spelling(name: str) -> str:
    # At an end, or among digits alone, a dash isn't a space: "A-" is not "A", "-1" is not "1".
    inside = name[:1].isalnum() and name[-1:].isalnum() and any(map(str.isalpha, name))
    return plain_name(name) if inside else name.casefold()


def _check_masks(model: dict, source: Source, train: dict, val: dict) -> None:
    if not has_masks(model):
        return
    annotations = [*train["annotations"], *val["annotations"]]
    without = sum(not a.get("segmentation") for a in annotations)
    if without:
        raise UserError(
            f"--model mask-rcnn: {without} of {len(annotations)} annotations have no "
            f"outline, which masks are learned from ({source.form}); take --model faster-rcnn or "
            "retinanet, which learn boxes"
        )


def _fit_anchors(model: dict, train: dict, size: tuple[int, int]) -> str:
    """Change the anchors of a model if they don't fit the boxes, and say so."""
    generator = anchor_generator(model)
    boxes = box_sizes(train, size)
    boxes = boxes[(boxes > 0).all(axis=1)]
    if generator is None or not len(boxes):
        return "none" if generator is None else "as they are"
    better = fit_anchors(generator, boxes)
    if better is None:
        return f"as they are; {100 * rate(generator, boxes).share:.0f} % of the boxes fit one"
    before = rate(generator, boxes)
    say(
        f"{100 * (1 - before.share):.0f} % of the boxes have the size or shape of no anchor (IoU "
        f"0.5), {100 * (1 - better.share):.0f} % with other anchors, which are taken:\n"
        + histogram(boxes, anchor_sizes(generator))
    )
    changed = {k: v for k, v in better.generator.items() if v != generator.get(k)}
    generator.update(changed)
    new = ", ".join(f"{key} {value}" for key, value in changed.items())
    return f"{new}; {100 * better.share:.0f} % of the boxes fit one"


def _say_transfer(start: Start, model: dict, where: Path) -> None:
    if start.kind == "nothing":
        say("No --weights: everything starts from random ones, and needs more epochs")
        _write_file(where / "weights.txt", "everything is random\n")
        return
    if start.backbone is not None:  # compared in the file's form; merging comes later
        merged = start.backbone.form == "merged"
        model = dict(model, backbone=dict(model["backbone"], merged=merged))
    found = transfer(start, model)
    _write_file(where / "weights.txt", found.listing())
    say(f"{found.summary()}\nEach tensor: {where}/weights.txt")


def _write_file(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text.encode())


def _write(where: Path, source: Source, train: dict, val: dict) -> Data:
    folder = (where / "annotations").resolve()
    folder.mkdir(exist_ok=True)
    for name, content in (("train", train), ("val", val)):
        # In ASCII: pycocotools reads it in whatever encoding the system has, and names of files
        # may hold bytes that are no UTF-8.
        _write_file(folder / f"{name}.json", json.dumps(content))
    return Data(
        root=source.root.resolve(),
        train=folder / "train.json",
        val=folder / "val.json",
        classes=source.classes,
        num_train=len(train["images"]),
    )
