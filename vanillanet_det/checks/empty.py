"""Checks for datasets without objects to train on or to evaluate."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, Optional

from ..errors import some
from .annotation_file import AnnotationFile
from .datasets import Dataset, is_same
from .finding import ERROR, WARNING, Finding

SET_CLASSES = "metainfo=dict(classes=...)"


class EmptyDataset(NamedTuple):
    """A dataset without objects of the config's classes.

    Attributes:
        dataset: The dataset.
        if_all_empty: The finding if all datasets of its dataloader are empty.
        if_mixed: The finding if another dataset of its dataloader has objects, or None.
    """

    dataset: Dataset
    if_all_empty: Finding
    if_mixed: Optional[Finding]


def describe_empty(
    file: AnnotationFile,
    classes: Sequence[str],
    names: Sequence[str],
    misspelt: dict[str, str],
) -> EmptyDataset:
    """Build the findings for a dataset that has no objects of the config's classes.

    Args:
        file: The annotation file.
        classes: The config's classes.
        names: The file's categories.
        misspelt: Probable category for each misspelt class.
    """
    dataset = file.dataset
    hint = "".join(f"; {ours!r} probably means {theirs!r}" for ours, theirs in misspelt.items())
    count = len(file.annotations)
    message = (
        f"{dataset.where}: the dataset is empty: none of its {count} annotations belongs to the "
        f"config's classes ({some(classes, 5)}); its categories are {some(names, 5)}; list them in "
        f"{SET_CLASSES}{hint}"
    )
    error = Finding(ERROR, "data-empty", message, count)
    if _is_filtered(dataset):
        message = (
            f"{dataset.where}: none of its {count} annotations belongs to the config's classes "
            f"({some(classes, 5)}), and filter_cfg=dict(filter_empty_gt=True) drops all its "
            f"{len(file.images):,} images, which makes MMDetection fail; set "
            "filter_empty_gt=False to train on them as background, or remove the dataset from the "
            f"config{hint}"
        )
        return EmptyDataset(dataset, error, Finding(ERROR, "data-empty", message, count))
    if not file.annotations:
        return EmptyDataset(dataset, error, None)
    return EmptyDataset(dataset, error, error if misspelt else replace(error, level=WARNING))


def _is_filtered(dataset: Dataset) -> bool:
    """Return whether MMDetection drops images without objects."""
    filter_cfg = dataset.cfg.get("filter_cfg") or {}
    return bool(filter_cfg.get("filter_empty_gt")) and not dataset.cfg.get("test_mode")


def check_empty(datasets: Sequence[Dataset], empty: Sequence[EmptyDataset]) -> list[Finding]:
    """Select the empty datasets that are mistakes: others may provide background images.

    Args:
        datasets: All datasets of the config.
        empty: The datasets without objects.
    """
    findings = []
    for each in empty:
        siblings = [dataset for dataset in datasets if dataset.key == each.dataset.key]
        all_empty = all(any(is_same(one, other.dataset) for other in empty) for one in siblings)
        findings.append(each.if_all_empty if all_empty else each.if_mixed)
    return [finding for finding in findings if finding is not None]


def check_unlabeled(file: AnnotationFile) -> list[Finding]:
    """Check that no metric is computed on test images whose annotations are withheld."""
    if not file.is_unlabeled or not file.dataset.evaluators:
        return []
    message = (
        f"{file.dataset.where}: it has no annotations to compare with, so AP will be -1; to only "
        "save detections, set format_only=True and outfile_prefix in the evaluator"
    )
    return [Finding(WARNING, "data-empty", message)]
