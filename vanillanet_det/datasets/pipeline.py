"""Finds the test dataset and the test pipeline of a config."""

import copy
from typing import Any

from mmengine.config import ConfigDict

from ..configs import type_name
from ..errors import UserError

_LOADERS = ("LoadImageFromFile", "LoadReadableImage")


def find_test_dataset(cfg: Any) -> ConfigDict:
    """Return a config's test dataset without its wrappers, or {} if there is none."""
    dataset = (cfg.get("test_dataloader") or {}).get("dataset") or ConfigDict()
    while "dataset" in dataset:
        dataset = dataset["dataset"]
    return dataset


def inference_pipeline(cfg: Any) -> list[ConfigDict]:
    """Return a copy of a config's test pipeline that doesn't load annotations.

    Args:
        cfg: The whole config.

    Returns:
        The pipeline, whose first transform loads an image file.

    Raises:
        UserError: The config has no test pipeline, or its first transform doesn't load a file.
    """
    pipeline = copy.deepcopy(find_test_dataset(cfg).get("pipeline"))
    if not pipeline or not is_loader(pipeline[0]):
        raise UserError(
            f"config {getattr(cfg, 'filename', None) or ''}: test_dataloader.dataset.pipeline "
            f"should begin with {' or '.join(_LOADERS)}"
        )
    return [step for step in pipeline if type_name(step) != "LoadAnnotations"]


def is_loader(step: Any) -> bool:
    """Return whether a transform loads an image from a file."""
    return type_name(step) in _LOADERS
