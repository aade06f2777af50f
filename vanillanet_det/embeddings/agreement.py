"""How often neighbours contain a class of the query, against chance."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import UserError
from .compute import Embeddings
from .neighbours import find_neighbours


class Agreement(NamedTuple):
    """What the neighbours of images have in common with them.

    Attributes:
        found: Mean over images and their classes: the share of the neighbours with the class.
        chance: The same share among all other images.
        images: Number of images with a class.
        neighbours: Number of neighbours of each.
    """

    found: float
    chance: float
    images: int
    neighbours: int


def read_classes(path: Path) -> dict[str, set]:
    """Read the category ids of each image, by its file name, from a COCO file.

    Raises:
        UserError: The file isn't a COCO file.
    """
    try:
        content = json.loads(path.read_bytes())
        names = {image["id"]: image["file_name"] for image in content["images"]}
        classes: dict[str, set] = {name: set() for name in names.values()}
        for annotation in content["annotations"]:
            classes[names[annotation["image_id"]]].add(annotation["category_id"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        raise UserError(
            f"--annotations {path}: can't be read as a COCO file ({reason}); expected images and "
            "annotations"
        ) from error
    return classes


def check_classes(names: Sequence[str], classes: dict[str, set]) -> None:
    """Refuse classes of other images.

    Args:
        names: Paths of the images.
        classes: As for `measure_agreement`.

    Raises:
        UserError: Fewer than two of the images have a class.
    """
    labelled = sum(bool(classes.get(name)) for name in names)
    if labelled < 2:
        raise UserError(
            f"--annotations: has classes of {labelled} of {len(names)} images; expected file names "
            "relative to IMAGES"
        )


def measure_agreement(
    embeddings: Embeddings, classes: dict[str, set], count: int
) -> dict[str, Agreement]:
    """Compare the classes of each image with those of its neighbours.

    Args:
        embeddings: The images.
        classes: Category ids by the names of the images.
        count: Neighbours of an image.

    Returns:
        The agreement by the name of the network, among the images that have a class.

    Raises:
        UserError: No image, or none but one, has a class.
    """
    check_classes(embeddings.names, classes)
    every = list(set().union(*classes.values()))
    has = np.array([[c in classes.get(n, ()) for c in every] for n in embeddings.names], bool)
    labelled = np.flatnonzero(has.any(1))
    has = has[labelled]
    chance = (has.sum(0) - has) / (len(has) - 1)  # among all others
    found = {}
    for name, vectors in embeddings.vectors.items():
        chosen = vectors[labelled]
        indices = find_neighbours(chosen, chosen, count + 1).indices
        # Equal images may come before the image itself.
        others = [row[row != index][:count] for index, row in enumerate(indices)]
        shares = has[np.array(others)].mean(1)
        found[name] = Agreement(
            float(shares[has].mean()), float(chance[has].mean()), len(has), len(others[0])
        )
    return found
