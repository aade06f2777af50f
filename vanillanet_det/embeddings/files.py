"""Files of embeddings: Parquet, or NumPy's `.npz`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..fileio import atomic_write, utf8_name
from ..installation import install_command
from .compute import Embeddings

ENDINGS = (".npz", ".parquet")


def write_embeddings(path: Path, embeddings: Embeddings) -> None:
    """Write the paths of images and their vectors.

    In Parquet, `path` is a column, and each network has one of lists. In `.npz`, `path` is an
    array of strings, and each network has one of shape `(N, D)`. Paths are relative.

    Args:
        path: The file, which is replaced atomically.
        embeddings: The embeddings.

    Raises:
        UserError: The file can't be written.
    """
    names = list(map(utf8_name, embeddings.names))
    try:
        with atomic_write(path) as file:
            if path.suffix.lower() == ".npz":
                np.savez(file, path=np.array(names), **embeddings.vectors)
            else:
                import pyarrow as pa
                from pyarrow import parquet

                columns = {"path": pa.array(names, pa.string())}
                for name, vectors in embeddings.vectors.items():
                    values = pa.array(vectors.ravel())
                    columns[name] = pa.FixedSizeListArray.from_arrays(values, vectors.shape[1])
                parquet.write_table(pa.table(columns), file)
    except OSError as error:
        raise UserError(f"--out {path}: can't be written ({error.strerror or error})") from error


def check_target(path: Path) -> None:
    """Refuse a file of embeddings that can't be written, before anything is computed.

    Raises:
        UserError: The ending is unknown, the folder doesn't exist, or a package is missing.
    """
    check_output(path, "out", ENDINGS)
    if path.suffix.lower() == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise UserError(
                f"--out {path}: Parquet needs pyarrow ({error}): {install_command('embed')}, or "
                "write .npz"
            ) from error


def check_output(path: Path, flag: str, endings: Sequence[str]) -> None:
    """Refuse a file that can't be written.

    Args:
        path: The file.
        flag: The option that names it, without dashes.
        endings: What it may end in.

    Raises:
        UserError: The ending is another one, or the folder doesn't exist.
    """
    if path.suffix.lower() not in endings:
        raise UserError(f"--{flag} {path}: expected a file that ends in {' or '.join(endings)}")
    if path.is_dir() or not path.parent.is_dir():
        raise UserError(f"--{flag} {path}: expected a file in an existing folder")
