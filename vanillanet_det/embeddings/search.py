"""Finds the neighbours of images among those that were embedded."""

import os
from pathlib import Path
from typing import NamedTuple, Optional

from .compute import Embeddings
from .milvus import MilvusStore
from .neighbours import Neighbours, find_neighbours


class Neighbour(NamedTuple):
    """An image near a query.

    Attributes:
        name: Its path relative to the folder of the images.
        path: The file.
        distance: From the query.
    """

    name: str
    path: Path
    distance: float


def search(
    embeddings: Embeddings, queries: Embeddings, count: int, store: Optional[MilvusStore] = None
) -> list[dict[str, list[Neighbour]]]:
    """Find the nearest images of each query.

    A query that is one of the images isn't a neighbour of itself.

    Args:
        embeddings: The images.
        queries: The queries, by the same networks.
        count: Neighbours of a query; there are fewer if there are fewer images.
        store: What searches; None for NumPy.

    Returns:
        For each query, the neighbours by the name of the network, nearest first.

    Raises:
        UserError: Milvus can't search.
    """
    wanted = min(count + 1, len(embeddings.names))
    found = {
        name: find_neighbours(vectors, queries.vectors[name], wanted)
        if store is None
        else store.search(name, queries.vectors[name], wanted)
        for name, vectors in embeddings.vectors.items()
    }
    return [
        {
            name: _others(embeddings, queries.root / path, neighbours, index)[:count]
            for name, neighbours in found.items()
        }
        for index, path in enumerate(queries.names)
    ]


def _others(
    embeddings: Embeddings, query: Path, neighbours: Neighbours, index: int
) -> list[Neighbour]:
    own, found = os.path.abspath(query), []
    for k, distance in zip(neighbours.indices[index], neighbours.distances[index]):
        path = embeddings.root / embeddings.names[k]
        if os.path.abspath(path) != own:
            found.append(Neighbour(embeddings.names[k], path, float(distance)))
    return found
