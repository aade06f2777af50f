"""The embedded dataset for classifiers: an image folder of handwritten digits on photographs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
from PIL import Image
from tqdm import tqdm

from ..errors import UserError
from .embedded import ensure_folder

DATA_ROOT = "data/digit_images"
COUNTS = {"train": 4000, "val": 1000}
SIDE = 64
_RECORD = "made_with.json"
_MEGABYTES = 40


def ensure_digit_images(
    root: Union[str, Path],
    seed: int = 0,
    counts: Optional[Mapping[str, int]] = None,
    side: int = SIDE,
) -> Path:
    """Create the dataset in a folder unless it exists.

    No scan of a validation image occurs in training. The files are byte-for-byte reproducible.

    Args:
        root: Folder to create, with `train/DIGIT/*.png` and `val/DIGIT/*.png`.
        seed: Random seed.
        counts: Number of images in `train` and `val`; if None, 4,000 and 1,000.
        side: Height and width of an image in pixels.

    Returns:
        The path of the folder.

    Raises:
        UserError: The folder contains other files, is incomplete, or can't be written.
    """
    made_with = {"seed": seed, "counts": dict(counts or COUNTS), "side": side}
    return ensure_folder(
        Path(root),
        lambda folder: _write(folder, made_with),
        lambda folder: _check(folder, made_with),
        _MEGABYTES,
        "run the command in another folder",
    )


def _write(root: Path, made_with: dict[str, Any]) -> None:
    from .scenes import draw_digit_image, load_assets  # scikit-learn is slow to import

    random = np.random.RandomState(made_with["seed"])
    assets = load_assets(random)
    total = sum(made_with["counts"].values())
    with tqdm(total=total, desc="Making digit images", unit="img", disable=None) as bar:
        for split, count in made_with["counts"].items():
            labels = assets[split].labels
            for label in np.unique(labels):
                (root / split / str(label)).mkdir(parents=True)
            for number in range(count):
                index = number % len(labels)  # each scan equally often
                image = draw_digit_image(assets[split], index, made_with["side"], random)
                path = root / split / str(labels[index]) / f"{number:06d}.png"
                Image.fromarray(image).save(path, compress_level=1)
                bar.update()
    (root / _RECORD).write_text(json.dumps(made_with))


def _check(root: Path, made_with: dict[str, Any]) -> None:
    remedy = "remove the folder so that it is created again, or choose another one"
    try:
        found = json.loads((root / _RECORD).read_text())
    except (OSError, ValueError) as error:
        raise UserError(
            f"dataset {root}: isn't the embedded dataset ({error}); {remedy}"
        ) from error
    if found != made_with:
        raise UserError(f"dataset {root}: was created with {found}, expected {made_with}; {remedy}")
    for split, count in made_with["counts"].items():
        there = sum(1 for _ in (root / split).glob("*/*.png"))
        if there != count:
            raise UserError(f"dataset {root}: {split} has {there} of {count} images; {remedy}")
