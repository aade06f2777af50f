"""The dataset of a fine-tuning run: read, split and checked."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Union

from mmengine.config import Config

from ..checks.spelling import spelling
from ..datasets.formats import RawDataset, read_dataset, split
from ..datasets.formats.raw_dataset import is_learned
from ..engine.messages import print_message
from ..errors import UserError
from ..fileio import atomic_write
from ..inference import config_text
from .readable import drop_unreadable


def read_splits(data: Union[str, Path], skip_missing: bool, work_dir: Path) -> RawDataset:
    """Read a dataset, split it if it isn't, and print what it contains.

    Args:
        data: Folder, annotation file or archive of a dataset; see `read_dataset`.
        skip_missing: Whether to leave out images that are missing or unreadable.
        work_dir: Folder of the run, for messages.

    Returns:
        The dataset, with `val`.

    Raises:
        UserError: There is a mistake in the dataset.
    """
    source = read_dataset(Path(data), skip_missing)
    print_message("\n".join(source.remarks))
    if skip_missing:
        source, skipped = drop_unreadable(source)
        print_message("\n".join(skipped))
    train, val = source.train, source.val
    if val is None:
        train, val = split(train, source.root)
        print_message(
            f"The dataset has no validation split; one was created in {work_dir}/annotations"
        )
    print_message(f"Training: {_count(train)}\nValidation: {_count(val)}")
    return replace(source, train=train, val=val)


def check_spelling(train: dict, val: dict) -> None:
    """Raise an error if a class has one spelling in training and another in validation."""
    train_ids, val_ids = (
        {a["category_id"] for a in part["annotations"] if is_learned(a)} for part in (train, val)
    )
    names = {category["id"]: category["name"] for category in train["categories"]}
    for name in sorted(names[id] for id in val_ids - train_ids):
        same = [names[id] for id in train_ids if spelling(names[id]) == spelling(name)]
        if same:
            raise UserError(
                f"class {name!r} occurs in validation images only, and {same[0]!r} in training "
                "images; use the same name for both in the annotations"
            )


def write_text(path: Path, text: str) -> None:
    """Write a file completely or not at all."""
    with atomic_write(path) as file:
        file.write(text.encode())


def write_annotations(work_dir: Path, **splits: dict) -> Path:
    """Write COCO datasets as `<name>.json`, and return their folder."""
    folder = (work_dir / "annotations").resolve()
    folder.mkdir(exist_ok=True)
    for name, coco in splits.items():
        # The text is ASCII: pycocotools reads it with the system's encoding, and file names may
        # contain bytes that aren't UTF-8.
        write_text(folder / f"{name}.json", json.dumps(coco))
    return folder


def write_config(path: Path, cfg: Config) -> None:
    """Write a config as Python, completely or not at all."""
    write_text(path, config_text(cfg))


def _count(coco: dict) -> str:
    names = {category["id"]: category["name"] for category in coco["categories"]}
    counts = Counter(names[a["category_id"]] for a in coco["annotations"] if is_learned(a))
    most = ", ".join(f"{name} {count}" for name, count in counts.most_common(5))
    others = ", ..." if len(counts) > 5 else ""
    return f"{len(coco['images'])} images with {sum(counts.values())} boxes ({most}{others})"
