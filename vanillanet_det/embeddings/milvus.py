"""Nearest neighbours in an embedded Milvus."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..fileio import utf8_name
from ..installation import install_command
from .compute import Embeddings
from .neighbours import Neighbours

_CHUNK = 256  # rows of a request
_LONGEST, _LONGEST_NAME = 65535, 255  # of values and collections, in bytes


def check_database(path: Path) -> None:
    """Refuse what can't become a database, before anything is computed.

    Args:
        path: The folder of the database.

    Raises:
        UserError: Milvus isn't installed, or there is something else.
    """
    try:
        import milvus_lite  # noqa: F401
        import pymilvus  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"--store milvus: needs Milvus ({error}): {install_command('milvus')}"
        ) from error
    is_other = path.is_dir() and any(path.iterdir()) and not (path / "collections").is_dir()
    if path.is_file() or is_other:
        raise UserError(f"--store milvus: {path} exists and is no Milvus; choose another --out")


class MilvusStore:
    """An embedded Milvus: a folder with a collection of vectors for each network.

    Collections are called `network_0_NAME` and so on, after the networks.

    Args:
        path: The folder; what an earlier call has stored is replaced.
        embeddings: The vectors to store, under the paths of their images.

    Raises:
        UserError: Milvus can't open the folder or take the vectors.
    """

    def __init__(self, path: Path, embeddings: Embeddings) -> None:
        from pymilvus import MilvusClient

        self._path = path
        self._names = {
            name: f"network_{index}_{re.sub(r'[^A-Za-z0-9]', '_', name)}"[:_LONGEST_NAME]
            for index, name in enumerate(embeddings.vectors)
        }
        paths = list(map(utf8_name, embeddings.names))
        with self._errors():
            self._client = MilvusClient(str(path.resolve()))
            for collection in self._client.list_collections():
                self._client.drop_collection(collection)
            for name, vectors in embeddings.vectors.items():
                self._insert(name, paths, vectors)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from pymilvus import MilvusException

        try:
            yield
        except (MilvusException, OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"--store milvus: {self._path}: {reason}") from error

    def close(self) -> None:
        """Close the folder."""
        self._client.close()

    def _insert(self, name: str, paths: list[str], vectors: np.ndarray) -> None:
        from pymilvus import DataType

        schema = self._client.create_schema(auto_id=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("path", DataType.VARCHAR, max_length=_LONGEST)
        schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=vectors.shape[1])
        index = self._client.prepare_index_params()
        index.add_index("embedding", index_type="FLAT", metric_type="L2")
        collection = self._names[name]
        self._client.create_collection(collection, schema=schema, index_params=index)
        for start in range(0, len(paths), _CHUNK):
            rows = enumerate(zip(paths[start : start + _CHUNK], vectors[start:]), start)
            self._client.insert(
                collection, [dict(id=i, path=path, embedding=vector) for i, (path, vector) in rows]
            )

    def search(self, name: str, queries: np.ndarray, count: int) -> Neighbours:
        """Find the nearest vectors of each query.

        Args:
            name: Name of the network.
            queries: `(Q, D)`.
            count: Neighbours of a query.

        Raises:
            UserError: Milvus can't search.
        """
        with self._errors():
            found = self._client.search(
                self._names[name],
                data=list(queries),
                limit=count,
                search_params=dict(metric_type="L2"),
            )
        indices = [[hit["id"] for hit in hits] for hits in found]
        squared = [[hit["distance"] for hit in hits] for hits in found]
        return Neighbours(np.array(indices), np.sqrt(np.array(squared)))
