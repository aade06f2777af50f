"""Finds evaluation images that are almost equal to training images."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..checks.datasets import Dataset
from ..checks.finding import WARNING, Finding, and_more
from ..errors import UserError
from .compute import Embeddings, embed_images
from .extractor import Extractor
from .neighbours import find_neighbours

# Of the median distance of two training images. Most files that were only compressed, resized or
# brightened are nearer to their original; of 200 embedded scenes, one is nearer to another scene.
_LIMIT = 0.2
_PAIRS = 4096
_BATCH = 32


def check_near_duplicates(
    paths: Sequence[tuple[Dataset, Sequence[str]]], extractor: Extractor
) -> list[Finding]:
    """Compare each evaluation image with the nearest training image.

    Args:
        paths: Datasets, each with the paths of its images.
        extractor: The network that compares them.

    Returns:
        A finding for each evaluation image that resembles a training image, and for what can't be
        compared.
    """
    every = [(data, [p for p in each if os.path.isfile(p)]) for data, each in paths]
    trained = [p for data, each in every if data.key.startswith("train") for p in each]
    others = [(data, each) for data, each in every if not data.key.startswith("train") and each]
    if len(trained) < 2 or not others:
        count = sum(len(each) for _, each in others)
        text = f"there are {len(trained)} training and {count} evaluation images"
        return [_not_compared(text)]
    try:
        ours = embed_images(Path(), trained, [extractor], _BATCH)
    except UserError as error:
        return [_not_compared(str(error))]
    vectors = ours.vectors[extractor.name]
    limit = _LIMIT * _median_distance(vectors)
    findings = _left_out(ours)
    for data, each in others:
        try:
            found = embed_images(Path(), each, [extractor], _BATCH)
        except UserError as error:
            findings.append(_not_compared(str(error)))
            continue
        findings += _left_out(found)
        nearest = find_neighbours(vectors, found.vectors[extractor.name], 1)
        for name, (index,), (distance,) in zip(found.names, nearest.indices, nearest.distances):
            if distance <= limit:
                message = (
                    f"{data.key}: {name} resembles the training image {ours.names[index]}; if they "
                    "show the same, remove one of them, or AP says less about new images"
                )
                findings.append(Finding(WARNING, "image-near-duplicate", message))
    return findings


def _not_compared(reason: str) -> Finding:
    message = f"near-duplicates can't be searched: {reason}"
    return Finding(WARNING, "image-not-compared", message)


def _left_out(embeddings: Embeddings) -> list[Finding]:
    problems = embeddings.problems
    if not problems:
        return []
    message = f"{and_more(problems[0], len(problems))}; not compared with others"
    return [Finding(WARNING, "image-not-compared", message, len(problems))]


def _median_distance(vectors: np.ndarray) -> float:
    """Return the median distance of random pairs."""
    first, second = np.random.default_rng(0).integers(0, len(vectors), (2, _PAIRS))
    apart = first != second
    differences = vectors[first[apart]].astype(np.float64) - vectors[second[apart]]
    return float(np.median(np.linalg.norm(differences, axis=1)))
