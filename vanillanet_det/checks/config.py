"""Runs all checks of a config."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Optional

from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.registry import DefaultScope

from ..errors import UserError
from .annotation_file import read_annotation_file
from .annotations import check_annotations
from .classes import ClassOrder, check_classes, check_order
from .datasets import DATALOADERS, Dataset, check_files, distinct, find_datasets, is_remote
from .deployment import check_deployment
from .dropped import check_dropped
from .empty import EmptyDataset, check_empty, check_unlabeled
from .evaluators import check_evaluators
from .finding import ERROR, Finding, errors_in
from .images import check_images, check_missing, check_shared, image_paths
from .learning_rate import check_learning_rate
from .limits import check_limits
from .model import build_model, check_model
from .objects import Objects, check_objects, check_splits
from .segmentations import check_segmentations
from .settings import check_settings
from .spelling import check_spelling
from .weights import check_weights


class Findings(list[Finding]):
    """The findings of a config, and the sizes of its datasets.

    Attributes:
        counts: Number of images, annotations and categories in each annotation file.
        num_classes: Number of classes; None if it is unknown.
        paths: Datasets, each with the paths of its images.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, dict[str, int]] = {}
        self.num_classes: Optional[int] = None
        self.paths: list[tuple[Dataset, list[str]]] = []


@dataclass
class _Collected:
    """The data that is collected from all datasets to compare them."""

    orders: list[ClassOrder] = field(default_factory=list)
    paths: list[tuple[Dataset, list[str]]] = field(default_factory=list)
    empty: list[EmptyDataset] = field(default_factory=list)
    objects: list[Objects] = field(default_factory=list)


def check_config(
    cfg: Config, images: bool = True, dataloaders: Sequence[str] = DATALOADERS
) -> Findings:
    """Find mistakes in a config, its datasets and its weights.

    Args:
        cfg: The config, which is not modified.
        images: Whether to decode all images, which takes as long as loading them for an epoch.
        dataloaders: Keys of the dataloaders whose datasets and evaluators are checked. Weights
            and learning rate are checked only if `train_dataloader` is among them.

    Returns:
        One finding for each kind of mistake and file, with its first example and the count.

    Raises:
        UserError: A dataset that is created on demand can't be created.
    """
    findings, collected = Findings(), _Collected()
    scope = cfg.get("default_scope") or "mmdet"
    with DefaultScope.overwrite_default_scope(scope):
        findings += check_settings(cfg, dataloaders)
        datasets = find_datasets(cfg, dataloaders)
        for dataset in distinct(datasets):
            _check_dataset(dataset, images, findings, collected)
        findings += check_empty(datasets, collected.empty)
        findings += check_order(collected.orders)
        if not errors_in(findings):  # else, objects are missing because of them
            findings += check_splits(collected.objects)
        findings += check_limits(cfg, collected.objects)
        findings += check_deployment(cfg)
        train = [item for item in collected.paths if item[0].key.startswith("train")]
        others = [item for item in collected.paths if not item[0].key.startswith("train")]
        findings += check_shared(train, others)
        findings.paths = collected.paths
        ann_files: dict[str, list[str]] = {}
        for dataset in datasets:
            ann_files.setdefault(dataset.key, []).append(dataset.ann_file)
        findings += check_evaluators(cfg, ann_files)
        if collected.orders:
            findings.num_classes = len(collected.orders[0].classes)
        model = build_model(cfg)
        if model is not None:
            findings += check_model(model, findings.num_classes, cfg.model)
        if "train_dataloader" in dataloaders:
            findings += check_weights(cfg, model)
            findings += check_learning_rate(cfg, get_world_size())
    return findings


def _check_dataset(
    dataset: Dataset, images: bool, findings: Findings, collected: _Collected
) -> None:
    is_first = not any(finding.code == "file-missing" for finding in findings)
    missing = check_files(dataset, advise=is_first)
    findings += missing
    if missing or not dataset.is_coco or is_remote(dataset.ann_file):
        return
    try:
        file = read_annotation_file(dataset)
    except UserError as error:
        findings.append(Finding(ERROR, "annotation-file", str(error)))
        return
    findings.counts[dataset.ann_file] = dict(
        images=len(file.images), annotations=len(file.annotations), classes=len(file.categories)
    )
    found = check_annotations(file)
    findings += check_segmentations(file)
    findings += check_unlabeled(file)
    objects = Objects(file)
    findings += check_dropped(objects)
    if dataset.key.startswith("train"):
        findings += check_spelling(file)
    if dataset.numbers_like_coco:
        of_classes, order, empty = check_classes(file)
        found += of_classes
        collected.orders += [order] if order else []
        collected.empty += [empty] if empty else []
        if not errors_in(found):
            collected.objects.append(objects)
            found += check_objects(objects)
    findings += found
    paths = image_paths(file)
    findings += check_missing(dataset, paths)
    collected.paths.append((dataset, paths))
    if images:
        findings += check_images(file)
