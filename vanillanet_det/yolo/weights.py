"""Published weights for the backbone of a YOLO11-VanillaNet."""

from typing import Any

from ultralytics.utils import LOGGER

from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.reading import PathLike
from ..errors import UserError
from .backbone import VanillaNet


def load_backbone(yolo: Any, path: PathLike) -> Any:
    """Load the weights of a VanillaNet into the backbone of a model of Ultralytics.

    Training then starts from them, with lambda 1.

    Args:
        yolo: An `ultralytics.YOLO` that was built from a YAML of this package.
        path: Path or URL of published weights, or of a checkpoint of a classifier or detector of
            this project.

    Returns:
        `yolo`.

    Raises:
        UserError: The model has no VanillaNet, the file can't be read, or it doesn't fit the
            backbone. Nothing is then loaded.

    Example:
        >>> yolo = load_backbone(YOLO("yolo11-vanillanet5.yaml"), "vanillanet_5.pth")
        >>> yolo.train(data="coco8.yaml")
    """
    backbones = [module for module in yolo.model.modules() if isinstance(module, VanillaNet)]
    if not backbones:
        raise UserError(f"{yolo.model_name}: has no VanillaNet; build it from yolo11-vanillanet*")
    match = Checkpoint.read(path).load_backbone(backbones[0])
    LOGGER.info(f"{path}: backbone: {match}")
    yolo.ckpt = {"model": yolo.model}  # otherwise train() starts from new random weights
    return yolo
