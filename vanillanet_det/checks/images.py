"""Images that an annotation file lists: whether they are there, and whether in two sets."""

import hashlib
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

from .content import Content
from .datasets import Dataset, is_remote
from .finding import ERROR, WARNING, Finding, first_of

_SAMPLE_BYTES = 4096


def image_paths(dataset: Dataset, content: Content) -> list[str]:
    """List the paths of a data set's images; of those in other storages none."""
    if is_remote(dataset.folder):
        return []
    names = (image.get("file_name") for image in content.images)
    return [os.path.join(dataset.folder, name) for name in names if isinstance(name, str)]


def check_missing(dataset: Dataset, paths: Sequence[str]) -> list[Finding]:
    """Check that images are there, by listing their folders once.

    Args:
        dataset: Whose images they are.
        paths: Their paths.
    """
    there = {folder: _list(folder) for folder in set(map(os.path.dirname, paths))}
    missing = [path for path in paths if os.path.basename(path) not in there[os.path.dirname(path)]]
    if not missing:
        return []
    folder, name = os.path.split(missing[0])
    similar = {_plain(other): other for other in there[folder]}.get(_plain(name))
    hint = f", but {similar} is" if similar else ""
    first = first_of(f"{missing[0]} isn't there{hint}", len(missing))
    message = (
        f"{dataset.where}: of {len(paths):,} images {len(missing):,} are missing: {first}; put "
        "them there, set data_prefix=dict(img=...) to their folder, or take them out of the file"
    )
    return [Finding(ERROR, "image-missing", message, len(missing))]


def _list(folder: str) -> set[str]:
    try:
        return set(os.listdir(folder or "."))
    except OSError:
        return set()


def _plain(name: str) -> str:
    """Spell a name as file systems that are less exact do."""
    return unicodedata.normalize("NFC", name).casefold()


def check_shared(
    train: Sequence[tuple[Dataset, Sequence[str]]], others: Sequence[tuple[Dataset, Sequence[str]]]
) -> list[Finding]:
    """Check that no image is in training and in evaluation, by content.

    Args:
        train: The data sets to train on, with their images.
        others: The data sets to evaluate on.
    """
    trained = [path for _, paths in train for path in paths]
    findings = []
    for dataset, paths in others:
        pairs = _equal_files(trained, paths)
        if not pairs:
            continue
        first = first_of(f"{pairs[0][1]} equals {pairs[0][0]}", len(pairs))
        message = (
            f"{dataset.where}: {len(pairs):,} of {len(paths):,} images are in the training set, "
            f"too: {first}; AP tells nothing of other pictures then. Take them out of one of both"
        )
        # No error: to train and evaluate on the same few pictures is a common trial.
        findings.append(Finding(WARNING, "image-shared", message, len(pairs)))
    return findings


def _equal_files(ours: Sequence[str], theirs: Sequence[str]) -> list[tuple[str, str]]:
    """Pair each of `theirs` with one of `ours` that has the same bytes."""
    keys: dict[str, tuple] = dict.fromkeys([*ours, *theirs], ())
    for measure in (os.path.getsize, _sample, _digest):  # from quick to sure
        keys = {path: (*key, _measured(measure, path)) for path, key in keys.items()}
        shared = {keys[p] for p in ours if p in keys} & {keys[p] for p in theirs if p in keys}
        keys = {p: key for p, key in keys.items() if key in shared and key[-1] is not None}
    by_key = {keys[path]: path for path in reversed(ours) if path in keys}
    return [(by_key[keys[path]], path) for path in theirs if path in keys]


def _measured(measure: Callable[[str], Any], path: str) -> Any:
    try:
        return measure(path)
    except OSError:
        return None


def _sample(path: str) -> bytes:
    """Read the end of a file, where compressed pictures differ."""
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - _SAMPLE_BYTES))
        return file.read()


def _digest(path: str) -> bytes:
    return hashlib.sha256(Path(path).read_bytes()).digest()
