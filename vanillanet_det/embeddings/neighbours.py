"""Nearest neighbours by the Euclidean distance (L2)."""

from dataclasses import dataclass

import numpy as np

_CHUNK = 256  # queries at a time


@dataclass(frozen=True)
class Neighbours:
    """The nearest vectors of queries.

    Attributes:
        indices: Of the vectors, nearest first, `(Q, K)`.
        distances: To the query, `(Q, K)`.
    """

    indices: np.ndarray
    distances: np.ndarray


def find_neighbours(vectors: np.ndarray, queries: np.ndarray, count: int) -> Neighbours:
    """Find the nearest vectors of each query, exactly.

    Args:
        vectors: `(N, D)`.
        queries: `(Q, D)`.
        count: Neighbours of a query; at most N are found.

    Returns:
        The neighbours; of equal distances, the first vector is first.
    """
    count, wide = min(count, len(vectors)), vectors.astype(np.float64)
    squares = np.square(wide).sum(1)
    indices, distances = [], []
    for start in range(0, len(queries), _CHUNK):
        chunk = queries[start : start + _CHUNK].astype(np.float64)
        squared = np.square(chunk).sum(1)[:, None] + squares - 2 * chunk @ wide.T
        found = np.argsort(squared, axis=1, kind="stable")[:, :count]
        indices.append(found)
        # The expanded square is inexact for vectors that are close to each other.
        distances.append(np.linalg.norm(wide[found] - chunk[:, None], axis=2))
    return Neighbours(np.concatenate(indices), np.concatenate(distances))
