"""The datasets that a config defines, and their files."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from mmdet.datasets import CocoDataset, CocoPanopticDataset
from mmdet.registry import DATASETS
from mmengine.config import Config, ConfigDict

from ..datasets.formats.files import is_remote
from ..installation import command
from .evaluators import EvaluatorSpec, find_evaluators
from .finding import ERROR, Finding

DATALOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
_ADVICE = (
    "If the data is in another folder: --cfg-options data_root=/path/to/data/\n"
    f"If you have no data: {command('train')} retinanet_vanillanet5_digits\n"
    "  trains on images that come with this project"
)


@dataclass(frozen=True)
class Dataset:
    """A dataset with an annotation file.

    Attributes:
        key: Key of the dataloader that the dataset belongs to.
        cfg: Config of the dataset.
        kind: Class of the dataset.
        root: Folder of the dataset.
        ann_file: Path of the annotation file.
        folder: Folder that `file_name` is relative to.
        classes: Class names from the config, else from `kind`; None for all categories.
        evaluators: The evaluators that compute COCO metrics with the dataset's annotation file.
    """

    key: str
    cfg: dict
    kind: Any
    root: str
    ann_file: str
    folder: str
    classes: Any
    evaluators: tuple[EvaluatorSpec, ...] = ()

    @property
    def where(self) -> str:
        """Prefix of messages about the annotation file."""
        return f"{self.key}: annotation file {self.ann_file}"

    @property
    def is_coco(self) -> bool:
        """Whether the annotation file is in COCO's instances format."""
        # Other datasets, including panoptic ones, have JSON files with different contents.
        return _is_subclass(self.kind, CocoDataset) and not _is_subclass(
            self.kind, CocoPanopticDataset
        )

    @property
    def numbers_like_coco(self) -> bool:
        """Whether classes are numbered as in MMDetection's `CocoDataset`."""
        return getattr(self.kind, "load_data_list", None) is CocoDataset.load_data_list

    @property
    def loading(self) -> dict:
        """The transform that loads the images."""
        return next(iter(self.cfg.get("pipeline") or ()), {})


def _is_subclass(kind: Any, parent: type) -> bool:
    return isinstance(kind, type) and issubclass(kind, parent)


def leaf_datasets(node: Optional[dict]) -> Iterator[ConfigDict]:
    """Yield the datasets with an annotation file in a dataloader or a wrapper."""
    if node is None:
        return
    inner = node.get("datasets") or ([node["dataset"]] if "dataset" in node else [])
    if not inner and "ann_file" in node:
        yield node
    for child in inner:
        yield from leaf_datasets(child)


def find_datasets(cfg: Config, dataloaders: Sequence[str]) -> list[Dataset]:
    """Find the datasets of a config.

    Datasets that are created on demand, such as the embedded one, are created here.

    Args:
        cfg: The config.
        dataloaders: Keys of dataloaders, such as `train_dataloader`; missing keys are ignored.

    Raises:
        UserError: A dataset can't be created.
    """
    found = []
    for key in dataloaders:
        evaluators = [each for each in find_evaluators(cfg, key) if each.ann_file and each.metrics]
        found += [_describe(key, node, tuple(evaluators)) for node in leaf_datasets(cfg.get(key))]
    on_demand = {(each.kind, each.root) for each in found if hasattr(each.kind, "prepare")}
    for kind, root in on_demand:
        kind.prepare(root)
    return found


def distinct(datasets: Sequence[Dataset]) -> list[Dataset]:
    """Drop repeated datasets, treating training and evaluation separately."""
    return [
        dataset
        for index, dataset in enumerate(datasets)
        if not any(is_same(dataset, other) for other in datasets[:index])
    ]


def is_same(a: Dataset, b: Dataset) -> bool:
    """Return whether two datasets are equal and serve the same purpose, such as training."""
    if a.key.startswith("train") != b.key.startswith("train"):
        return False
    return (a.kind, a.ann_file, a.folder, a.classes) == (b.kind, b.ann_file, b.folder, b.classes)


def _describe(key: str, node: dict, evaluators: tuple[EvaluatorSpec, ...]) -> Dataset:
    kind = node["type"]  # a name, or a class in MMEngine's newer configs
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
        evaluators=evaluators,
    )


def check_files(dataset: Dataset, advise: bool) -> list[Finding]:
    """Check that the annotation file and the image folder exist.

    Args:
        dataset: The dataset.
        advise: Whether to add advice on where to find data.

    Returns:
        A finding for the first of these paths that is missing, or an empty list.
    """
    if is_remote(dataset.ann_file):
        return []
    for path, exists in ((dataset.ann_file, os.path.isfile), (dataset.folder, os.path.isdir)):
        if not is_remote(path) and not exists(path or "."):
            advice = f"\n{_layout(dataset)}{_ADVICE}" if advise else ""
            message = f"{dataset.key}: {path} is missing.{advice}"
            return [Finding(ERROR, "file-missing", message)]
    return []


def _layout(dataset: Dataset) -> str:
    if "2017" not in Path(dataset.ann_file).name:
        return ""
    root = dataset.root.rstrip("/")
    return (
        f"The layout of COCO 2017:\n"
        f"  {root}/annotations/instances_train2017.json and instances_val2017.json\n"
        f"  {root}/train2017/*.jpg\n"
        f"  {root}/val2017/*.jpg\n"
    )
