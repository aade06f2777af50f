"""Compares the classes of the config with the categories of the annotation files."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Optional

from ..errors import some
from .annotation_file import AnnotationFile
from .datasets import Dataset
from .empty import SET_CLASSES, EmptyDataset, describe_empty
from .finding import ERROR, WARNING, Finding, and_more


@dataclass(frozen=True)
class ClassOrder:
    """The order in which MMDetection numbers the classes of a dataset.

    Attributes:
        dataset: The dataset.
        names: Class names by index: the file's categories that are classes, in the file's order.
        classes: Class names by index in the config, which are displayed with detections.
    """

    dataset: Dataset
    names: tuple[str, ...]
    classes: tuple[str, ...]


class ClassCheck(NamedTuple):
    """The result of comparing a dataset's classes with its file's categories.

    Attributes:
        findings: The mistakes.
        order: The order of the classes; None if it can't be determined.
        empty: The findings if the dataset has no objects of these classes, else None.
    """

    findings: list[Finding]
    order: Optional[ClassOrder] = None
    empty: Optional[EmptyDataset] = None


def check_classes(file: AnnotationFile) -> ClassCheck:
    """Compare a dataset's classes with the categories of its file, in both directions.

    Args:
        file: The annotation file.
    """
    dataset, names = file.dataset, file.category_names
    if file.is_unlabeled and not names:
        return ClassCheck([])
    findings, classes = read_classes(dataset, names)
    used = set(names if classes is None else classes)
    counts = dict.fromkeys(names, 0)
    for name, count in zip(names, file.category_counts.tolist()):
        counts[name] += count
    if not file.is_unlabeled and not any(counts[name] for name in used.intersection(names)):
        ours = classes or ()
        empty = describe_empty(file, ours, names, _misspelt(ours, names))
        return ClassCheck(findings, empty=empty)
    findings += _check_names(dataset, classes, names, counts)
    if any(finding.level == ERROR for finding in findings):
        return ClassCheck(findings)
    order = tuple(name for name in names if name in used)
    return ClassCheck(findings, ClassOrder(dataset, order, order if classes is None else classes))


def read_classes(
    dataset: Dataset, names: Sequence[str]
) -> tuple[list[Finding], Optional[tuple[str, ...]]]:
    """Return the classes that a config is meant to have, and mistakes in how it lists them.

    Args:
        dataset: The dataset.
        names: The categories of its annotation file.

    Returns:
        The mistakes and the classes; the classes are None if all categories are used.
    """
    classes: Any = dataset.classes
    if not classes:
        return [], None
    if isinstance(classes, str):
        if Path(classes).is_file():  # MMEngine reads such a file, with one class per line
            return [], tuple(Path(classes).read_text().splitlines())
        how = f"the string {classes!r}, not a list"
        intended = classes
    else:
        classes = tuple(map(str, classes))
        intended = "".join(classes)
        are_letters = len(classes) > 1 and all(len(name) == 1 for name in classes)
        if not are_letters or set(classes) & set(names) or _closest(intended, names) is None:
            return [], classes
        how = f"the letters of {intended!r}: {some(classes, 5)}"
    message = (
        f"{dataset.key}: metainfo classes is {how}, so MMDetection uses its letters or parts as "
        f"classes; write classes=({intended!r},) with the comma"
    )
    return [Finding(ERROR, "classes-text", message)], (intended,)


def _check_names(
    dataset: Dataset,
    classes: Optional[Sequence[str]],
    names: Sequence[str],
    counts: dict[str, int],
) -> Iterable[Finding]:
    repeated = [name for index, name in enumerate(names) if name in names[:index]]
    if repeated:
        example = and_more(f"two categories have the name {repeated[0]!r}", len(repeated))
        message = (
            f"{dataset.where}: {example}, which shifts the indices of all later classes; merge "
            "them into one category with one id"
        )
        yield Finding(ERROR, "category-duplicate", message, len(repeated))
    if classes is None:
        return
    misspelt = _misspelt(classes, names)
    for ours, theirs in misspelt.items():
        message = (
            f"{dataset.where}: the config's class {ours!r} is not a category of the file, which "
            f"has {theirs!r}; {counts[theirs]:,} annotations would be dropped. Write {theirs!r} in "
            f"{SET_CLASSES}"
        )
        yield Finding(ERROR, "class-misspelt", message, counts[theirs])
    unknown = [name for name in classes if name not in names and name not in misspelt]
    if unknown:
        message = (
            f"{dataset.where}: the config's classes {some(unknown, 5)} are not categories of the "
            f"file and won't be learned; remove them from {SET_CLASSES}, or check their spelling: "
            f"the file has {some(names, 5)}"
        )
        yield Finding(WARNING, "class-unknown", message, len(unknown))
    unused = [n for n in names if n not in classes and n not in misspelt.values() and counts[n]]
    dropped = sum(counts[name] for name in unused)
    if dropped:
        categories = some([f"{name} ({counts[name]:,})" for name in unused], 5)
        message = (
            f"{dataset.where}: {dropped:,} annotations are dropped because their categories are "
            f"not classes of the config: {categories}; add them to {SET_CLASSES} to learn them"
        )
        yield Finding(WARNING, "category-dropped", message, dropped)


def _misspelt(classes: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Return the category that is probably meant by each class that isn't a category."""
    free = [name for name in names if name not in classes]
    intended = {}
    for name in classes:
        closest = None if name in names else _closest(name, free)
        if closest is not None:
            intended[name] = closest
            free.remove(closest)
    return intended


def _closest(name: str, among: Sequence[str]) -> Optional[str]:
    plain = {plain_name(other): other for other in among}
    close = difflib.get_close_matches(plain_name(name), plain, n=1)
    return plain[close[0]] if close else None


def plain_name(name: str) -> str:
    """Normalize case, spaces, dashes and underscores in a class name."""
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def check_order(orders: Sequence[ClassOrder]) -> list[Finding]:
    """Check that all datasets number the classes in the same order as the config.

    MMDetection numbers classes in the order of the file's categories, regardless of their order in
    the config. However, the names displayed with detections come from the config.

    Args:
        orders: The class order of each dataset; all others are compared with the first one.
    """
    findings = []
    for each in orders:
        first, where = orders[0], each.dataset.where
        if not _agree(each.names, first.names):
            index = _first_difference(each.names, first.names)
            findings.append(
                Finding(
                    ERROR,
                    "category-order",
                    f"{where}: class {index} is {each.names[index]!r}, but "
                    f"{first.names[index]!r} in {first.dataset.ann_file}: MMDetection numbers "
                    "classes in the order of the file's categories, so AP would be near 0; list "
                    "the same categories in the same order in both files",
                )
            )
        elif not _agree(each.names, each.classes) and (
            each is first or each.classes != first.classes
        ):
            index = _first_difference(each.names, each.classes)
            findings.append(
                Finding(
                    ERROR,
                    "class-order",
                    f"{where}: class {index} is {each.names[index]!r}, but "
                    f"{each.classes[index]!r} in the config: MMDetection numbers classes in the "
                    "order of the file's categories, so detections would have the wrong names; "
                    f"write metainfo=dict(classes=({', '.join(map(repr, each.names[:5]))}, ...))",
                )
            )
    return findings


def _agree(a: Sequence[str], b: Sequence[str]) -> bool:
    return all(x == y for x, y in zip(a, b))


def _first_difference(a: Sequence[str], b: Sequence[str]) -> int:
    return next(index for index, (x, y) in enumerate(zip(a, b)) if x != y)
