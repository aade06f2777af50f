"""Data sets without any object to learn or to judge by."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, Optional

from .content import Content
from .datasets import Dataset, is_same
from .finding import ERROR, WARNING, Finding, some

SET_CLASSES = "metainfo=dict(classes=...)"


class Empty(NamedTuple):
    """A data set without objects of the config's classes.

    Attributes:
        dataset: The data set.
        alone: What to say if the other data sets of its dataloader are as empty, or there are none.
        beside: What to say if one of them has objects; None for nothing.
    """

    dataset: Dataset
    alone: Finding
    beside: Optional[Finding]


def describe_empty(
    dataset: Dataset,
    content: Content,
    classes: Sequence[str],
    names: Sequence[str],
    meant: dict[str, str],
) -> Empty:
    """Say of a data set that it has no object of the config's classes.

    Args:
        dataset: The data set.
        content: What is in its annotation file.
        classes: Those of the config.
        names: The file's categories.
        meant: Categories that were probably meant by classes which are none.
    """
    hint = "".join(f"; {ours!r} is probably its {theirs!r}" for ours, theirs in meant.items())
    count = len(content.annotations)
    message = (
        f"{dataset.where}: the data set is empty: none of its {count} annotations is of the "
        f"config's classes ({some(classes)}); its categories are {some(names)}. Name them in "
        f"{SET_CLASSES}{hint}"
    )
    alone = Finding(ERROR, "data-empty", message, count)
    if _is_filtered(dataset):
        message = (
            f"{dataset.where}: none of its {count} annotations is of the config's classes "
            f"({some(classes)}), and filter_cfg=dict(filter_empty_gt=True) leaves all its "
            f"{len(content.images):,} images out, at which MMDetection fails; set "
            "filter_empty_gt=False to learn from them that there is nothing, or take the data set "
            f"out of the config{hint}"
        )
        return Empty(dataset, alone, Finding(ERROR, "data-empty", message, count))
    if not content.annotations:
        return Empty(dataset, alone, None)
    return Empty(dataset, alone, alone if meant else replace(alone, level=WARNING))


def _is_filtered(dataset: Dataset) -> bool:
    """Tell whether MMDetection leaves out images without objects."""
    wanted = dataset.cfg.get("filter_cfg") or {}
    return bool(wanted.get("filter_empty_gt")) and not dataset.cfg.get("test_mode")


def check_empty(datasets: Sequence[Dataset], empty: Sequence[Empty]) -> list[Finding]:
    """Decide which empty data sets are mistakes: pictures of background may stand beside others.

    Args:
        datasets: All data sets of the config.
        empty: Those of them that are known to have no object.
    """
    findings = []
    for each in empty:
        together = [dataset for dataset in datasets if dataset.key == each.dataset.key]
        is_all = all(any(is_same(one, other.dataset) for other in empty) for one in together)
        findings.append(each.alone if is_all else each.beside)
    return [finding for finding in findings if finding is not None]


def check_secret(dataset: Dataset) -> list[Finding]:
    """Check that nothing is computed of a data set without annotations.

    Args:
        dataset: A data set for tests whose annotations are left out.
    """
    if not dataset.judges:
        return []
    message = (
        f"{dataset.where}: it has no annotation to compare with, and AP will be -1; to write "
        "detections down without it, set format_only=True and outfile_prefix of the evaluator"
    )
    return [Finding(WARNING, "data-empty", message)]
