"""All checks of a config."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Optional

from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.registry import DefaultScope

from ..errors import UserError
from .annotations import check_annotations
from .classes import Labels, check_classes, check_order
from .content import read_content
from .datasets import DATALOADERS, Dataset, check_files, distinct, find_datasets, is_remote
from .empty import Empty, check_empty, check_secret
from .evaluators import check_evaluators
from .finding import ERROR, Finding
from .images import check_missing, check_shared, image_paths
from .model import build_model, check_model
from .outlines import check_outlines
from .pictures import check_pictures
from .schedule import check_learning_rate
from .weights import check_weights


@dataclass
class Inspection:
    """What was looked at, and what was found.

    Attributes:
        findings: What is wrong.
        counts: Images, annotations and classes of each annotation file.
        labels: Numbers of the classes of each data set.
        images: Paths of the images of each data set.
        empty: The data sets without objects.
    """

    findings: list[Finding] = field(default_factory=list)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    labels: list[Labels] = field(default_factory=list)
    images: list[tuple[Dataset, list[str]]] = field(default_factory=list)
    empty: list[Empty] = field(default_factory=list)


def check_config(
    cfg: Config, pictures: bool = True, dataloaders: Sequence[str] = DATALOADERS
) -> list[Finding]:
    """Find mistakes in a config, its data and its weights.

    Args:
        cfg: The config; left as it is.
        pictures: Decode all images, which takes as long as an epoch of loading.
        dataloaders: Keys whose data sets and evaluators are looked at; without
            `train_dataloader` weights and learning rate aren't.

    Returns:
        One finding for each kind and file, with the first example and the count.

    Raises:
        UserError: A data set that is made on demand can't be made.
    """
    return inspect_config(cfg, pictures, dataloaders).findings


def inspect_config(
    cfg: Config, pictures: bool = True, dataloaders: Sequence[str] = DATALOADERS
) -> Inspection:
    """Do what `check_config` does, and tell what there is beside what is wrong."""
    seen = Inspection()
    scope = cfg.get("default_scope") or "mmdet"
    with DefaultScope.overwrite_default_scope(scope):
        datasets = find_datasets(cfg, dataloaders)
        for dataset in distinct(datasets):
            _check_dataset(dataset, pictures, seen)
        seen.findings += check_empty(datasets, seen.empty)
        seen.findings += check_order(seen.labels)
        train = [item for item in seen.images if item[0].key.startswith("train")]
        others = [item for item in seen.images if not item[0].key.startswith("train")]
        seen.findings += check_shared(train, others)
        seen.findings += check_evaluators(cfg, datasets)
        model = build_model(cfg)
        if model is not None:
            seen.findings += check_model(model, _num_classes(seen))
        if "train_dataloader" in dataloaders:
            seen.findings += check_weights(cfg, model)
            seen.findings += check_learning_rate(cfg, get_world_size())
    return seen


def _num_classes(seen: Inspection) -> Optional[int]:
    return len(seen.labels[0].classes) if seen.labels else None


def _check_dataset(dataset: Dataset, pictures: bool, seen: Inspection) -> None:
    told = any(finding.code == "file-missing" for finding in seen.findings)
    missing = check_files(dataset, told)
    seen.findings += missing
    if missing or not dataset.is_coco or is_remote(dataset.ann_file):
        return
    try:
        content = read_content(dataset)
    except UserError as error:
        seen.findings.append(Finding(ERROR, "annotation-file", str(error)))
        return
    seen.counts[dataset.ann_file] = dict(
        images=len(content.images),
        annotations=len(content.annotations),
        classes=len(content.categories),
    )
    seen.findings += check_annotations(dataset, content)
    seen.findings += check_outlines(dataset, content)
    seen.findings += check_secret(dataset) if content.is_secret else []
    if dataset.numbers_like_coco:
        compared = check_classes(dataset, content)
        seen.findings += compared.findings
        seen.labels += [compared.labels] if compared.labels else []
        seen.empty += [compared.empty] if compared.empty else []
    paths = image_paths(dataset, content)
    seen.findings += check_missing(dataset, paths)
    seen.images.append((dataset, paths))
    if pictures:
        seen.findings += check_pictures(dataset, content)
