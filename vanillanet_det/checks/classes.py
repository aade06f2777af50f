"""Classes of the config against categories of the annotation files."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Optional

from .content import Content
from .datasets import Dataset
from .empty import SET_CLASSES, Empty, describe_empty
from .finding import ERROR, WARNING, Finding, first_of, some


@dataclass(frozen=True)
class Labels:
    """How MMDetection numbers the classes of a data set.

    Attributes:
        dataset: The data set.
        names: Names by number: the file's categories that are classes, in the file's order.
        classes: Names by number as the config has them, and as pictures show them.
    """

    dataset: Dataset
    names: tuple[str, ...]
    classes: tuple[str, ...]


class Compared(NamedTuple):
    """Classes of a data set and categories of its file, compared.

    Attributes:
        findings: What is wrong.
        labels: How the classes are numbered, if they can be.
        empty: That nothing is left to learn, if so.
    """

    findings: list[Finding]
    labels: Optional[Labels] = None
    empty: Optional[Empty] = None


def check_classes(dataset: Dataset, content: Content) -> Compared:
    """Compare the classes of a data set with the categories of its file, both ways.

    Args:
        dataset: The data set.
        content: What is in its annotation file.
    """
    names = [str(category.get("name")) for category in content.categories]
    if content.is_secret and not names:
        return Compared([])
    findings, classes = read_classes(dataset, names)
    wanted = set(names if classes is None else classes)
    counts = dict.fromkeys(names, 0)
    for name, count in zip(names, content.counts.tolist()):
        counts[name] += count
    if not content.is_secret and not any(counts[name] for name in wanted.intersection(names)):
        ours = classes or ()
        empty = describe_empty(dataset, content, ours, names, _misspelt(ours, names))
        return Compared(findings, empty=empty)
    findings += _check_names(dataset, classes, names, counts)
    if findings and any(finding.level == ERROR for finding in findings):
        return Compared(findings)
    labels = tuple(name for name in names if name in wanted)
    return Compared(findings, Labels(dataset, labels, labels if classes is None else classes))


def read_classes(
    dataset: Dataset, names: Sequence[str]
) -> tuple[list[Finding], Optional[tuple[str, ...]]]:
    """Read classes as they were meant, and say what is wrong with the way they are written.

    Args:
        dataset: The data set.
        names: The categories of its annotation file.

    Returns:
        What is wrong, and the classes; None for all categories.
    """
    classes: Any = dataset.classes
    if not classes:
        return [], None
    if isinstance(classes, str):
        if Path(classes).is_file():  # MMEngine reads it, a class a line
            return [], tuple(Path(classes).read_text().splitlines())
        how = f"the text {classes!r}, not a list"
        meant = classes
    else:
        classes = tuple(map(str, classes))
        meant = "".join(classes)
        letters = len(classes) > 1 and all(len(name) == 1 for name in classes)
        if not letters or set(classes) & set(names) or _closest(meant, names) is None:
            return [], classes
        how = f"the letters of {meant!r}: {some(classes)}"
    message = (
        f"{dataset.key}: metainfo classes is {how}, and MMDetection takes its letters or parts for "
        f"classes; write classes=({meant!r},) with the comma"
    )
    return [Finding(ERROR, "classes-text", message)], (meant,)


def _check_names(
    dataset: Dataset,
    classes: Optional[Sequence[str]],
    names: Sequence[str],
    counts: dict[str, int],
) -> Iterable[Finding]:
    twice = [name for place, name in enumerate(names) if name in names[:place]]
    if twice:
        message = (
            f"{dataset.where}: {first_of(f'two categories are named {twice[0]!r}', len(twice))}, "
            "which shifts the numbers of all later classes; give both one id"
        )
        yield Finding(ERROR, "category-duplicate", message, len(twice))
    if classes is None:
        return
    meant = _misspelt(classes, names)
    for ours, theirs in meant.items():
        message = (
            f"{dataset.where}: class {ours!r} of the config is no category of the file, which has "
            f"{theirs!r}; {counts[theirs]:,} annotations would be dropped. Write {theirs!r} in "
            f"{SET_CLASSES}"
        )
        yield Finding(ERROR, "class-misspelt", message, counts[theirs])
    unknown = [name for name in classes if name not in names and name not in meant]
    if unknown:
        message = (
            f"{dataset.where}: the config's classes {some(unknown)} are no categories of the file, "
            f"and nothing is learned of them; take them out of {SET_CLASSES}, or check their "
            f"names: the file has {some(names)}"
        )
        yield Finding(WARNING, "class-unknown", message, len(unknown))
    unused = [n for n in names if n not in classes and n not in meant.values() and counts[n]]
    dropped = sum(counts[name] for name in unused)
    if dropped:
        message = (
            f"{dataset.where}: {dropped:,} annotations are dropped, since their categories are no "
            f"classes of the config: {some(f'{name} ({counts[name]:,})' for name in unused)}; add "
            f"them to {SET_CLASSES} to learn them"
        )
        yield Finding(WARNING, "category-dropped", message, dropped)


def _misspelt(classes: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Find categories that were probably meant by classes which are none."""
    free = [name for name in names if name not in classes]
    meant = {}
    for name in classes:
        closest = None if name in names else _closest(name, free)
        if closest is not None:
            meant[name] = closest
            free.remove(closest)
    return meant


def _closest(name: str, among: Sequence[str]) -> Optional[str]:
    plain = {plain_name(other): other for other in among}
    close = difflib.get_close_matches(plain_name(name), plain, n=1)
    return plain[close[0]] if close else None


def plain_name(name: str) -> str:
    """Write a class's name in the one way that its spellings share."""
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def check_order(labels: Sequence[Labels]) -> list[Finding]:
    """Check that data sets number their classes alike, and as the config names them.

    MMDetection numbers classes in the order of a file's categories, whatever the order in the
    config, which gives the names of what is detected.

    Args:
        labels: The numbers of each data set, the first one those to compare with.
    """
    findings = []
    for each in labels:
        first, where = labels[0], each.dataset.where
        if not _agree(each.names, first.names):
            place = _first_difference(each.names, first.names)
            findings.append(
                Finding(
                    ERROR,
                    "category-order",
                    f"{where}: class {place} is {_at(each.names, place)}, but "
                    f"{_at(first.names, place)} in {first.dataset.ann_file}: MMDetection numbers "
                    "classes in the order of a file's categories, and AP would be near 0; list the "
                    "same categories in the same order in both files",
                )
            )
        elif not _agree(each.names, each.classes) and (
            each is first or each.classes != first.classes
        ):
            place = _first_difference(each.names, each.classes)
            findings.append(
                Finding(
                    ERROR,
                    "class-order",
                    f"{where}: class {place} is {_at(each.names, place)}, but "
                    f"{_at(each.classes, place)} in the config: MMDetection numbers classes in the "
                    "order of the file's categories, and detections would get wrong names; write "
                    f"metainfo=dict(classes=({', '.join(map(repr, each.names[:5]))}, ...))",
                )
            )
    return findings


def _agree(a: Sequence[str], b: Sequence[str]) -> bool:
    return all(x == y for x, y in zip(a, b))


def _first_difference(a: Sequence[str], b: Sequence[str]) -> int:
    return next(place for place, (x, y) in enumerate(zip(a, b)) if x != y)


def _at(names: Sequence[str], place: int) -> str:
    return repr(names[place])
