"""Pictures to compare and to calibrate with."""

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Optional

import numpy as np
from mmdet.registry import DATASETS
from mmengine.config import Config

from ..checks.datasets import Dataset, find_datasets
from ..datasets.sample_images import find_pictures, list_pictures
from ..datasets.scenes import draw_scene, load_sources
from ..errors import UserError
from ..inference.images import load_bgr

_SCENES, _SIDE = 4, 160  # as the embedded data set has them
_OF_DATA_SET = 4


def pictures_to_compare(folder: Optional[str], cfg: Config) -> list[np.ndarray]:
    """Load pictures to compare an exported file with PyTorch on.

    Args:
        folder: Where they are; None for the embedded photographs and scenes, and a few that the
            config evaluates on, if they are there.
        cfg: The whole config.

    Returns:
        Uint8 `(height, width, 3)` each, BGR.

    Raises:
        UserError: The folder has none, or a file can't be read.
    """
    found = [_load(picture) for picture in find_pictures(folder)]
    if folder is None:
        random = np.random.RandomState(0)
        source = load_sources(random)["val"]
        for _ in range(_SCENES):
            found.append(np.ascontiguousarray(draw_scene(source, _SIDE, random)[0][..., ::-1]))
        found += [load_bgr(path) for path in _evenly(_files(cfg, "test_dataloader"), _OF_DATA_SET)]
    return found


def calibration_pictures(folder: Optional[str], cfg: Config, count: int) -> list[np.ndarray]:
    """Load pictures from which ranges of activations are learnt.

    Args:
        folder: Where they are; None for those that the config trains on.
        cfg: The whole config.
        count: How many, at most.

    Returns:
        Uint8 `(height, width, 3)` each, BGR.

    Raises:
        UserError: There are none, or a file can't be read.
    """
    if folder is None:
        paths = _files(cfg, "train_dataloader")
    else:
        paths = list_pictures(folder, "calibration")
    if not paths:
        raise UserError(
            "--precision int8 needs pictures to learn ranges from, and those of the config's "
            "train_dataloader aren't there; give some hundred of your own: --calibration DIR"
        )
    return [load_bgr(path) for path in _evenly(paths, count)]


def _load(picture: dict[str, Any]) -> np.ndarray:
    return picture["img"] if "img" in picture else load_bgr(picture["img_path"])


def _evenly(paths: Sequence[Path], count: int) -> list[Path]:
    chosen = np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int)
    return [paths[index] for index in chosen]


def _files(cfg: Config, dataloader: str) -> list[Path]:
    """List the pictures of a dataloader's data sets that are there, and no others beside them."""
    return sorted(
        path
        for dataset in find_datasets(cfg, (dataloader,))
        for path in _listed(dataset)
        if path.is_file()
    )


def _listed(dataset: Dataset) -> list[Path]:
    try:
        with redirect_stdout(io.StringIO()):  # pycocotools counts seconds
            built = DATASETS.build({**dataset.cfg, "pipeline": [], "lazy_init": False})
        return [Path(built.get_data_info(index)["img_path"]) for index in range(len(built))]
    except FileNotFoundError:
        return []
    except Exception as error:  # annotations may be anything
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"{dataset.where}: can't be read ({type(error).__name__}: {reason}); "
            "python tools/check_data.py CONFIG says what is wrong"
        ) from error
