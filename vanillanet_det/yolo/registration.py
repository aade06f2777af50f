"""Registration of this package's parts in Ultralytics, which looks them up by name."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from ultralytics.models import yolo
from ultralytics.nn import tasks
from ultralytics.utils import LOGGER, callbacks, patches

from ..models.backbones.archs import Arch
from ..models.layers.max_pool import MaxPool
from ..models.layers.pointwise import PointwiseConv2d
from ..models.layers.series_activation import PointwiseSeries, Series, SeriesActivation
from ..models.layers.stage import AdaptivePool, Stage
from .backbone import PublishedBatchNorm2d, VanillaNet
from .deep_training import DetectionTrainer, SegmentationTrainer
from .requirements import LICENSE

MODELS = Path(__file__).with_name("models")
"""Folder of the model YAMLs."""
_PICKLED = (
    AdaptivePool,
    Arch,
    MaxPool,
    PointwiseConv2d,
    PointwiseSeries,
    PublishedBatchNorm2d,
    Series,
    SeriesActivation,
    Stage,
    VanillaNet,
)

_check_yaml = tasks.check_yaml


def find_yaml(file: str, *args: Any, **kwargs: Any) -> str:
    """Find a YAML as Ultralytics does, or one of this package by its name alone.

    Args:
        file: A path or a name.
        *args: As for Ultralytics' `check_yaml`.
        **kwargs: As for Ultralytics' `check_yaml`.

    Returns:
        The path; a file in the current folder has precedence.
    """
    own = MODELS / Path(file).name
    if str(file) == own.name and own.is_file() and not Path(file).exists():
        return str(own)
    return _check_yaml(file, *args, **kwargs)


def state_license(exporter: Any) -> None:
    """Log the license that applies to an exported file, if it holds a VanillaNet."""
    if any(isinstance(module, VanillaNet) for module in exporter.model.modules()):
        LOGGER.info(f"VanillaNet: {LICENSE}, and to this file")


def register() -> None:
    """Make the networks, YAMLs and trainers known to Ultralytics; a second call does nothing.

    Unless `pi_heif` is installed, Pillow's own `open` is restored: that of Ultralytics would
    install it when any image of the process can't be read.
    """
    tasks.VanillaNet = VanillaNet
    tasks.check_yaml = find_yaml
    yolo.detect.DetectionTrainer = DetectionTrainer
    yolo.segment.SegmentationTrainer = SegmentationTrainer
    at_end = callbacks.default_callbacks["on_export_end"]
    if state_license not in at_end:
        at_end.append(state_license)
    # Checkpoints hold the network as an object: what PyTorch's safe reading may build.
    if hasattr(torch.serialization, "add_safe_globals"):  # new in PyTorch 2.4
        torch.serialization.add_safe_globals(list(_PICKLED))
    if find_spec("pi_heif") is None:
        Image.open = getattr(patches, "_image_open", Image.open)
