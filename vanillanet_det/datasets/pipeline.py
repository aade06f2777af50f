"""What happens to an image before it reaches the detector."""

import copy
from typing import Any

from mmengine.config import ConfigDict

from ..errors import UserError

_LOADERS = ("LoadImageFromFile", "LoadReadableImage")


def find_test_dataset(cfg: Any) -> ConfigDict:
    """Find the data set of a config's evaluation, inside of whatever wraps it; {} if none."""
    dataset = (cfg.get("test_dataloader") or {}).get("dataset") or ConfigDict()
    while "dataset" in dataset:
        dataset = dataset["dataset"]
    return dataset


def inference_pipeline(cfg: Any) -> list[ConfigDict]:
    """Take a config's pipeline of evaluation, for pictures without annotations.

    Args:
        cfg: The whole config.

    Returns:
        A copy, whose first transform loads a file.

    Raises:
        UserError: The config has none, or it begins otherwise.
    """
    pipeline = copy.deepcopy(find_test_dataset(cfg).get("pipeline"))
    if not pipeline or not is_loader(pipeline[0]):
        raise UserError(
            f"config {getattr(cfg, 'filename', None) or ''}: test_dataloader.dataset.pipeline "
            f"should begin with {' or '.join(_LOADERS)}"
        )
    return [step for step in pipeline if step["type"] != "LoadAnnotations"]


def is_loader(step: Any) -> bool:
    """Tell whether a transform is one that loads an image from its file."""
    return str(step.get("type")).rpartition(".")[2] in _LOADERS
