"""Sample images for benchmarks, prepared by a config's test pipeline."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
from mmcv.transforms import Compose
from mmengine.config import ConfigDict
from mmengine.logging import print_log
from mmengine.registry import DefaultScope
from sklearn.datasets import load_sample_images
from torch import Tensor

from ..errors import UserError, some
from ..media import CONVERT, IMAGES, UNSUPPORTED_IMAGES, has_ending
from .pipeline import inference_pipeline

MAX_IMAGES = 32  # since all of them are kept in memory


def find_images(folder: Optional[Union[str, Path]] = None) -> list[dict[str, Any]]:
    """List images in the form that a pipeline's first transform expects.

    Args:
        folder: Image folder; if None, scikit-learn's two photographs are used.

    Returns:
        A dict for each image, with `img_path` for files or `img` for photographs. If the folder has
        more than `MAX_IMAGES` images, they are sampled at even intervals.

    Raises:
        UserError: The folder doesn't exist or contains no images.
    """
    if folder is None:
        # Pipelines expect BGR images.
        return [dict(img=rgb[..., ::-1].copy()) for rgb in load_sample_images().images]
    paths = list_images(folder, "images")
    step = -(-len(paths) // MAX_IMAGES)
    return [dict(img_path=str(path)) for path in paths[::step]]


def list_images(folder: Union[str, Path], flag: str) -> list[Path]:
    """List the images in a folder, sorted.

    Args:
        folder: The folder.
        flag: Command-line flag that the folder was passed to, without dashes; used in messages.

    Raises:
        UserError: The folder doesn't exist or contains no images.
    """
    if not Path(folder).is_dir():
        raise UserError(f"--{flag} {folder}: there is no such folder; pass an existing one")
    names = sorted(path.name for path in Path(folder).iterdir() if path.is_file())
    paths = [Path(folder) / name for name in names if has_ending(name, IMAGES)]
    skipped = [name for name in names if has_ending(name, UNSUPPORTED_IMAGES)]
    if not paths:
        found = f", only {some(skipped, 3)}, which OpenCV can't read" if skipped else ""
        raise UserError(
            f"--{flag} {folder}: contains no images{found}; expected {', '.join(IMAGES)}"
        )
    if skipped:
        print_log(
            f"--{flag} {folder}: skipped {len(skipped):,} images that OpenCV can't read "
            f"({some(skipped, 3)}); {CONVERT}",
            logger="current",
            level=30,
        )
    return paths


def evaluation_pipeline(
    cfg: ConfigDict, input_size: Optional[tuple[int, int]] = None
) -> list[dict]:
    """Return a config's test pipeline for an input size, without annotation loading.

    Args:
        cfg: The whole config.
        input_size: Height and width to resize to, ignoring the aspect ratio; if None, the
            config's setting is kept.

    Returns:
        The pipeline, whose first transform loads an image file.

    Raises:
        UserError: The config has no test pipeline, or the pipeline doesn't have exactly one Resize.
    """
    pipeline = inference_pipeline(cfg)
    if input_size is not None:
        resizes = [transform for transform in pipeline if transform["type"] == "Resize"]
        if len(resizes) != 1:
            raise UserError(
                f"--input-size: the test pipeline of {cfg.filename} has {len(resizes)} Resize "
                "transforms, expected exactly one; omit --input-size"
            )
        resizes[0].pop("scale_factor", None)
        resizes[0].update(scale=(input_size[1], input_size[0]), keep_ratio=False)
    return pipeline


def make_batches(
    images: Sequence[dict[str, Any]], pipeline: list[dict], batch_size: int
) -> list[dict[str, list]]:
    """Prepare batches in which each image occurs at least once.

    Args:
        images: Result of `find_images`.
        pipeline: Result of `evaluation_pipeline`.
        batch_size: Number of images in a batch.

    Returns:
        Inputs for `detector.test_step`: `inputs`, uint8 tensors `(3, H, W)`, and `data_samples`.

    Raises:
        UserError: A file can't be read.
    """
    loader = {"type": "mmdet.LoadImageFromNDArray"} if "img" in images[0] else pipeline[0]
    prepare = Compose([loader, *pipeline[1:]])
    samples = [_prepare(prepare, index, image) for index, image in enumerate(images)]
    batches = []
    for begin in range(0, len(samples), batch_size):
        chosen = [samples[i % len(samples)] for i in range(begin, begin + batch_size)]
        batches.append({key: [s[key] for s in chosen] for key in ("inputs", "data_samples")})
    return batches


def prepare_array(cfg: ConfigDict, image: np.ndarray) -> Tensor:
    """Apply a config's test pipeline to one image.

    Args:
        cfg: The whole config.
        image: uint8 `(H, W, C)`.

    Returns:
        uint8 `(C, H', W')`; the first of its views if the pipeline augments it.

    Raises:
        UserError: The config has no test pipeline, or the pipeline fails.
    """
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope") or "mmdet"):
        inputs = make_batches([dict(img=image)], evaluation_pipeline(cfg), 1)[0]["inputs"][0]
    return inputs[0] if isinstance(inputs, list) else inputs


def _prepare(prepare: Compose, index: int, image: dict[str, Any]) -> dict:
    try:
        return prepare({"img_id": index, **copy.copy(image)})
    except UserError:
        raise
    except Exception as error:  # loaders and transforms raise almost any exception
        what = image.get("img_path", "the embedded photographs")
        raise UserError(
            f"{what}: the config's test pipeline failed ({type(error).__name__}: {error})"
        ) from error
