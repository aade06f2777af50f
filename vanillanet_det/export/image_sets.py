"""Images for verifying an exported file and for calibrating int8."""

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Optional

import numpy as np
from mmdet.registry import DATASETS
from mmengine.config import Config

from ..checks.datasets import Dataset, find_datasets
from ..datasets.sample_images import find_images, list_images
from ..datasets.scenes import draw_scene, load_assets
from ..errors import UserError
from ..inference.images import load_bgr
from ..installation import command

_NUM_SCENES, _SCENE_SIDE = 4, 160  # as in the embedded dataset
_NUM_OWN = 8


def load_verification_images(folder: Optional[str], cfg: Config) -> list[np.ndarray]:
    """Load images on which an exported file is compared with PyTorch.

    Args:
        folder: Image folder; if None, some of the config's test images, or else of its validation
            or training images. If none exist, embedded photographs and scenes, which are foreign
            to most detectors.
        cfg: The whole config.

    Returns:
        Uint8 `(height, width, 3)` each, BGR.

    Raises:
        UserError: The folder has no images, or a file can't be read.
    """
    if folder is None:
        for dataloader in ("test_dataloader", "val_dataloader", "train_dataloader"):
            paths = _find_files(cfg, dataloader)
            if paths:
                return [load_bgr(path) for path in _sample_evenly(paths, _NUM_OWN)]
    images = [_load(image) for image in find_images(folder)]
    if folder is None:
        random = np.random.RandomState(0)
        source = load_assets(random)["val"]
        for _ in range(_NUM_SCENES):
            scene = draw_scene(source, _SCENE_SIDE, random)[0]
            images.append(np.ascontiguousarray(scene[..., ::-1]))
    return images


def load_calibration_images(folder: Optional[str], cfg: Config, count: int) -> list[np.ndarray]:
    """Load images for calibrating the activation ranges of int8.

    Args:
        folder: Image folder; if None, the config's training images are used.
        cfg: The whole config.
        count: Maximum number of images.

    Returns:
        Uint8 `(height, width, 3)` each, BGR.

    Raises:
        UserError: There are no images, or a file can't be read.
    """
    if folder is None:
        paths = _find_files(cfg, "train_dataloader")
    else:
        paths = list_images(folder, "calibration")
    if not paths:
        raise UserError(
            "--precision int8: needs calibration images, but those of the config's "
            "train_dataloader don't exist; pass a few hundred of your own: --calibration DIR"
        )
    return [load_bgr(path) for path in _sample_evenly(paths, count)]


def _load(image: dict[str, Any]) -> np.ndarray:
    return image["img"] if "img" in image else load_bgr(image["img_path"])


def _sample_evenly(paths: Sequence[Path], count: int) -> list[Path]:
    indices = np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int)
    return [paths[index] for index in indices]


def _find_files(cfg: Config, dataloader: str) -> list[Path]:
    """Return the existing images of a dataloader's datasets, and no other files."""
    return sorted(
        path
        for dataset in find_datasets(cfg, (dataloader,))
        for path in _image_paths(dataset)
        if path.is_file()
    )


def _image_paths(dataset: Dataset) -> list[Path]:
    try:
        with redirect_stdout(io.StringIO()):  # pycocotools prints its timing
            built = DATASETS.build({**dataset.cfg, "pipeline": [], "lazy_init": False})
        return [Path(built.get_data_info(index)["img_path"]) for index in range(len(built))]
    except FileNotFoundError:
        return []
    except Exception as error:  # annotations may contain anything
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"{dataset.where}: can't be read ({type(error).__name__}: {reason}); "
            f"{command('check-data')} CONFIG reports what is wrong"
        ) from error
