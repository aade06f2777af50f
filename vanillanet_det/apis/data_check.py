"""Checks of data and weights that a config names, before anything slow begins."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Optional

from mmdet.datasets import CocoDataset, CocoPanopticDataset
from mmdet.registry import DATASETS
from mmengine.config import Config

from ..errors import UserError
from .config import leaf_datasets

_ELSEWHERE = (
    "Data elsewhere: --cfg-options data_root=/path/to/it/\n"
    "No data at hand: python tools/train.py configs/retinanet_vanillanet5_digits.py\n"
    "  trains on pictures that come with this project"
)


def check_data(cfg: Config, dataloaders: Sequence[str]) -> None:
    """Check the files of data sets; the embedded one is made here if it is missing.

    Args:
        cfg: The config.
        dataloaders: Keys such as `train_dataloader`; absent ones are passed over.

    Raises:
        UserError: An annotation file or image folder is missing, the file is not in COCO's
            format, or the data set is empty.
    """
    for key in dataloaders:
        for dataset in leaf_datasets(cfg.get(key)):
            _check_dataset(dataset, key)


def _check_dataset(dataset: dict, key: str) -> None:
    kind = dataset["type"]  # a name, or in mmengine's newer configs a class
    dataset_class = DATASETS.get(kind) if isinstance(kind, str) else kind
    root = dataset.get("data_root") or getattr(dataset_class, "DATA_ROOT", "")
    if hasattr(dataset_class, "prepare"):
        dataset_class.prepare(root)
    ann_file = os.path.join(root, dataset["ann_file"])
    folder = os.path.join(root, (dataset.get("data_prefix") or {}).get("img") or "")
    if "://" in ann_file:
        return
    for path, there in ((ann_file, os.path.isfile), (folder, os.path.isdir)):
        if "://" not in path and not there(path or "."):
            raise UserError(f"{key}: {path} is missing.\n{_layout(root, dataset)}{_ELSEWHERE}")
    # Others, of panoptic segmentation too, have JSON files of their own kinds.
    is_coco = isinstance(dataset_class, type) and issubclass(dataset_class, CocoDataset)
    if is_coco and not issubclass(dataset_class, CocoPanopticDataset):
        classes = _classes(dataset, dataset_class)
        _check_annotations(ann_file, key, classes, bool(dataset.get("test_mode")))


def _layout(root: str, dataset: dict) -> str:
    if "2017" not in dataset["ann_file"]:
        return ""
    root = root.rstrip("/")
    return (
        f"COCO 2017 is laid out as\n"
        f"  {root}/annotations/instances_train2017.json and instances_val2017.json\n"
        f"  {root}/train2017/*.jpg\n"
        f"  {root}/val2017/*.jpg\n"
    )


def _classes(dataset: dict, dataset_class: Any) -> Optional[Sequence[str]]:
    classes = (dataset.get("metainfo") or {}).get("classes")
    return classes or getattr(dataset_class, "METAINFO", {}).get("classes")


def _check_annotations(
    ann_file: str, key: str, classes: Optional[Sequence[str]], test_mode: bool
) -> None:
    where = f"{key}: annotation file {ann_file}"
    try:
        content = json.loads(Path(ann_file).read_bytes())
    except (ValueError, OSError) as error:
        raise UserError(f"{where}: not JSON ({error}); expected COCO's instances format") from error
    # The annotations of COCO's test images are secret.
    secret = test_mode and isinstance(content, dict) and "annotations" not in content
    parts = ("images", "categories") if secret else ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(p), list) for p in parts):
        raise UserError(f"{where}: expected COCO's lists images, annotations and categories")
    if not content["images"]:
        raise UserError(f"{where}: the data set is empty: it lists no image")
    if secret:
        return
    names = [category.get("name") for category in content["categories"]]
    wanted = {
        category.get("id")
        for category in content["categories"]
        if not classes or category.get("name") in classes
    }
    if not any(annotation.get("category_id") in wanted for annotation in content["annotations"]):
        raise UserError(
            f"{where}: the data set is empty: none of its {len(content['annotations'])} "
            f"annotations is of the config's classes ({_some(classes)}); its categories are "
            f"{_some(names)}. Name them in metainfo=dict(classes=...)"
        )


def _some(names: Optional[Sequence[str]]) -> str:
    names = list(map(str, names or ()))
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def check_weights(cfg: Config) -> None:
    """Check that the files of weights which a model starts from are there.

    Args:
        cfg: The config.

    Raises:
        UserError: One is missing.
    """
    for key, init_cfg in _pretrained(cfg.get("model"), "model"):
        path = str(init_cfg["checkpoint"])
        if "://" not in path and not Path(path).expanduser().is_file():
            raise UserError(
                f"{key}.checkpoint: {path} is missing. Put the published weights there, name "
                f"another file with --cfg-options {key}.checkpoint=FILE, or train from random "
                f"weights with --cfg-options {key}=None"
            )


def _pretrained(node: Any, key: str) -> Iterator[tuple[str, dict]]:
    if isinstance(node, dict):
        if node.get("type") == "Pretrained" and "checkpoint" in node:
            yield key, node
        for name, child in node.items():
            yield from _pretrained(child, f"{key}.{name}")
    elif isinstance(node, (list, tuple)):
        for index, child in enumerate(node):
            yield from _pretrained(child, f"{key}.{index}")
