"""Computes the embeddings of image files."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Union

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..errors import UserError
from .extractor import Extractor


@dataclass(frozen=True)
class Embeddings:
    """The embeddings of images by several networks.

    Attributes:
        root: Folder of the images.
        names: Paths of the images relative to the folder, with `/`.
        vectors: By the name of the network, `(N, D)`, float32.
        problems: A sentence for each image that was left out because a network can't read it.
    """

    root: Path
    names: tuple[str, ...]
    vectors: dict[str, np.ndarray]
    problems: tuple[str, ...] = ()


def embed_images(
    root: Path, names: Sequence[str], extractors: Sequence[Extractor], batch_size: int
) -> Embeddings:
    """Compute the embeddings of images.

    Args:
        root: Folder of the images.
        names: Paths relative to the folder, at least one.
        extractors: The networks.
        batch_size: Images of a batch. What a network prepares in other sizes is computed alone.

    Raises:
        UserError: No image can be read, or a network gives NaN or infinity.
    """
    kept: list[str] = []
    problems: list[str] = []
    vectors: dict[str, list[Tensor]] = {each.name: [] for each in extractors}
    chunks = range(0, len(names), batch_size)
    bar = tqdm(total=len(names), desc="Embedding", unit="img", leave=False, disable=None)
    with ThreadPoolExecutor() as pool, bar:
        for start in chunks:
            chunk = list(names[start : start + batch_size])
            prepared = list(pool.map(lambda name: _prepare(root / name, extractors), chunk))
            good = [each for each in prepared if not isinstance(each, str)]
            kept += [n for n, each in zip(chunk, prepared) if not isinstance(each, str)]
            problems += [each for each in prepared if isinstance(each, str)]
            for index, extractor in enumerate(extractors):
                vectors[extractor.name] += _run(extractor, [each[index] for each in good])
            bar.update(len(chunk))
    if not kept:
        raise UserError(f"{problems[0]}; none of {len(names)} images can be read")
    arrays = {name: torch.stack(rows).numpy() for name, rows in vectors.items()}
    for name, array in arrays.items():
        for row in np.flatnonzero(~np.isfinite(array).all(1))[:1]:
            raise UserError(f"{name}: its feature of {kept[row]} is not finite; use other weights")
    return Embeddings(root, tuple(kept), arrays, tuple(problems))


def _prepare(path: Path, extractors: Sequence[Extractor]) -> Union[list[Tensor], str]:
    """Prepare an image for each network; return a sentence if it can't be read."""
    try:
        return [extractor.prepare(path) for extractor in extractors]
    except UserError as error:
        return str(error)


@torch.no_grad()
def _run(extractor: Extractor, images: Sequence[Tensor]) -> list[Tensor]:
    if len({image.shape for image in images}) == 1:
        batches = [torch.stack(list(images))]
    else:
        batches = [image[None] for image in images]
    found = [extractor.network(batch).float().cpu() for batch in batches]
    return [row for batch in found for row in batch]
