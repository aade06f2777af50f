"""The data sets that a config names, and their files."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from mmdet.datasets import CocoDataset, CocoPanopticDataset
from mmdet.registry import DATASETS
from mmengine.config import Config, ConfigDict

from .finding import ERROR, Finding
from .judges import Judge, find_judges

DATALOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
_ELSEWHERE = (
    "Data elsewhere: --cfg-options data_root=/path/to/it/\n"
    "No data at hand: python tools/train.py configs/retinanet_vanillanet5_digits.py\n"
    "  trains on pictures that come with this project"
)


@dataclass(frozen=True)
class Dataset:
    """A data set with files of its own.

    Attributes:
        key: The dataloader that it belongs to.
        cfg: Its config.
        kind: Its class.
        root: Its folder.
        ann_file: Path of the annotation file.
        folder: What `file_name` is relative to.
        classes: As the config or the class gives them; None for all categories.
        judges: The evaluators that compute COCO's metric with its annotation file.
    """

    key: str
    cfg: dict
    kind: Any
    root: str
    ann_file: str
    folder: str
    classes: Any
    judges: tuple[Judge, ...] = ()

    @property
    def where(self) -> str:
        """What a message about the annotation file begins with."""
        return f"{self.key}: annotation file {self.ann_file}"

    @property
    def is_coco(self) -> bool:
        """Whether the annotation file is in COCO's format of instances."""
        # Others, of panoptic segmentation too, have JSON files of their own kinds.
        return _is_subclass(self.kind, CocoDataset) and not _is_subclass(
            self.kind, CocoPanopticDataset
        )

    @property
    def numbers_like_coco(self) -> bool:
        """Whether classes are numbered as MMDetection's `CocoDataset` does it."""
        return getattr(self.kind, "load_data_list", None) is CocoDataset.load_data_list

    @property
    def loading(self) -> dict:
        """The transform that loads the images."""
        return next(iter(self.cfg.get("pipeline") or ()), {})


def _is_subclass(kind: Any, parent: type) -> bool:
    return isinstance(kind, type) and issubclass(kind, parent)


def leaf_datasets(node: Optional[dict]) -> Iterator[ConfigDict]:
    """Find the data sets with files of their own below a dataloader or a wrapper."""
    if node is None:
        return
    inner = node.get("datasets") or ([node["dataset"]] if "dataset" in node else [])
    if not inner and "ann_file" in node:
        yield node
    for child in inner:
        yield from leaf_datasets(child)


def find_datasets(cfg: Config, dataloaders: Sequence[str]) -> list[Dataset]:
    """Find the data sets of a config.

    Those that are made on demand, as the embedded one, are made here.

    Args:
        cfg: The config.
        dataloaders: Keys such as `train_dataloader`; absent ones are passed over.

    Raises:
        UserError: A data set can't be made.
    """
    found = []
    for key in dataloaders:
        judges = [each for each in find_judges(cfg, key) if each.ann_file and each.measures]
        found += [_describe(key, node, tuple(judges)) for node in leaf_datasets(cfg.get(key))]
    made = {(each.kind, each.root) for each in found if hasattr(each.kind, "prepare")}
    for kind, root in made:
        kind.prepare(root)
    return found


def distinct(datasets: Sequence[Dataset]) -> list[Dataset]:
    """Leave out data sets that came before; for training and evaluation each comes once."""
    return [
        dataset
        for place, dataset in enumerate(datasets)
        if not any(is_same(dataset, other) for other in datasets[:place])
    ]


def is_same(a: Dataset, b: Dataset) -> bool:
    """Tell whether two data sets are one for training, or one for evaluation."""
    if a.key.startswith("train") != b.key.startswith("train"):
        return False
    return (a.kind, a.ann_file, a.folder, a.classes) == (b.kind, b.ann_file, b.folder, b.classes)


def _describe(key: str, node: dict, judges: tuple[Judge, ...]) -> Dataset:
    kind = node["type"]  # a name, or in mmengine's newer configs a class
    kind = DATASETS.get(kind) if isinstance(kind, str) else kind
    root = node.get("data_root") or getattr(kind, "DATA_ROOT", "")
    classes = (node.get("metainfo") or {}).get("classes")
    return Dataset(
        key=key,
        cfg=node,
        kind=kind,
        root=root,
        ann_file=os.path.join(root, node["ann_file"]),
        folder=os.path.join(root, (node.get("data_prefix") or {}).get("img") or ""),
        classes=classes or getattr(kind, "METAINFO", {}).get("classes"),
        judges=judges,
    )


def check_files(dataset: Dataset, told: bool) -> list[Finding]:
    """Check that annotation file and image folder are there.

    Args:
        dataset: The data set.
        told: Leave out the advice where to find data.

    Returns:
        The first of them that is missing.
    """
    if is_remote(dataset.ann_file):
        return []
    for path, there in ((dataset.ann_file, os.path.isfile), (dataset.folder, os.path.isdir)):
        if not is_remote(path) and not there(path or "."):
            advice = "" if told else f"\n{_layout(dataset)}{_ELSEWHERE}"
            message = f"{dataset.key}: {path} is missing.{advice}"
            return [Finding(ERROR, "file-missing", message)]
    return []


def is_remote(path: str) -> bool:
    """Tell whether a path belongs to another storage, such as `s3://`."""
    return "://" in path


def _layout(dataset: Dataset) -> str:
    if "2017" not in Path(dataset.ann_file).name:
        return ""
    root = dataset.root.rstrip("/")
    return (
        f"COCO 2017 is laid out as\n"
        f"  {root}/annotations/instances_train2017.json and instances_val2017.json\n"
        f"  {root}/train2017/*.jpg\n"
        f"  {root}/val2017/*.jpg\n"
    )
