"""Pictures to measure on, as a config's own test pipeline prepares them."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional, Union

from mmcv.transforms import Compose
from mmengine.config import ConfigDict
from sklearn.datasets import load_sample_images

from ..errors import UserError
from .pipeline import inference_pipeline

MOST_PICTURES = 32  # which stay in memory, ready for every network
_ENDINGS = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def find_pictures(folder: Optional[Union[str, Path]] = None) -> list[dict[str, Any]]:
    """List pictures, as the first transform of a pipeline takes them.

    Args:
        folder: Where they are; None for the two photographs of scikit-learn.

    Returns:
        `img_path` of each file, or `img` of each photograph; of more than `MOST_PICTURES`
        files, some from all over the folder.

    Raises:
        UserError: No such folder, or no picture in it.
    """
    if folder is None:
        # The pipeline's pictures are BGR.
        return [dict(img=rgb[..., ::-1].copy()) for rgb in load_sample_images().images]
    paths = list_pictures(folder, "images")
    step = -(-len(paths) // MOST_PICTURES)
    return [dict(img_path=str(path)) for path in paths[::step]]


def list_pictures(folder: Union[str, Path], flag: str) -> list[Path]:
    """List the pictures in a folder, sorted.

    Args:
        folder: Where they are.
        flag: Name of the option that it was given to, without dashes.

    Raises:
        UserError: No such folder, or no picture in it.
    """
    if not Path(folder).is_dir():
        raise UserError(f"--{flag} {folder}: there is no such folder")
    paths = [path for path in sorted(Path(folder).iterdir()) if path.suffix.lower() in _ENDINGS]
    if not paths:
        raise UserError(f"--{flag} {folder}: no picture in it, expected {', '.join(_ENDINGS)}")
    return paths


def evaluation_pipeline(
    cfg: ConfigDict, input_size: Optional[tuple[int, int]] = None
) -> list[dict]:
    """Take a config's pipeline of evaluation, for pictures without annotations.

    Args:
        cfg: The whole config.
        input_size: Height and width to resize to, whatever a picture's ratio; None for what
            the config says.

    Returns:
        The pipeline, whose first transform loads a file.

    Raises:
        UserError: The config has none, or none that resizes.
    """
    pipeline = inference_pipeline(cfg)
    if input_size is not None:
        resizes = [transform for transform in pipeline if transform["type"] == "Resize"]
        if len(resizes) != 1:
            raise UserError(
                f"--input-size: the test pipeline of {cfg.filename} has {len(resizes)} Resize "
                "transforms and should have one; leave --input-size out"
            )
        resizes[0].pop("scale_factor", None)
        resizes[0].update(scale=(input_size[1], input_size[0]), keep_ratio=False)
    return pipeline


def make_batches(
    pictures: Sequence[dict[str, Any]], pipeline: list[dict], batch_size: int
) -> list[dict[str, list]]:
    """Prepare batches, in which each picture comes at least once.

    Args:
        pictures: As `find_pictures` lists them.
        pipeline: As `evaluation_pipeline` makes it.
        batch_size: Pictures in a batch.

    Returns:
        What `detector.test_step` takes: `inputs`, uint8 tensors `(3, H, W)`, and
        `data_samples`.

    Raises:
        UserError: A file can't be read.
    """
    loader = {"type": "mmdet.LoadImageFromNDArray"} if "img" in pictures[0] else pipeline[0]
    prepare = Compose([loader, *pipeline[1:]])
    samples = [_prepared(prepare, index, picture) for index, picture in enumerate(pictures)]
    batches = []
    for begin in range(0, len(samples), batch_size):
        chosen = [samples[i % len(samples)] for i in range(begin, begin + batch_size)]
        batches.append({key: [s[key] for s in chosen] for key in ("inputs", "data_samples")})
    return batches


def _prepared(prepare: Compose, index: int, picture: dict[str, Any]) -> dict:
    try:
        return prepare({"img_id": index, **copy.copy(picture)})
    except UserError:
        raise
    except Exception as error:  # loaders and transforms raise nearly anything
        what = picture.get("img_path", "the embedded photographs")
        raise UserError(
            f"{what}: the config's test pipeline can't prepare it ({type(error).__name__}: {error})"
        ) from error
