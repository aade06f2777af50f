"""Ultralytics' networks, from YAMLs and checkpoints."""

from pathlib import Path
from typing import Any, Union

import yaml
from ultralytics import YOLO
from ultralytics.nn import tasks

from ..errors import UserError
from .registration import register

IMAGE_SIZE = 640  # of a network that has no other


def open_network(path: Union[str, Path]) -> Any:
    """Build the network of a YAML, with random weights, or load that of a checkpoint.

    No code in a checkpoint is run.

    Args:
        path: A YAML or its name, such as `yolo11n.yaml`, or a `.pt` file.

    Returns:
        Ultralytics' `DetectionModel` or `SegmentationModel`, in float32 and evaluation mode, with
        `names`, `task` and `args`.

    Raises:
        UserError: The file can't be read, or is for another task.
    """
    register()
    network = _load(Path(path)) if Path(path).suffix.lower() == ".pt" else _build(str(path))
    kind = type(network.model[-1]).__name__
    if kind not in ("Detect", "Segment"):
        raise UserError(f"{path}: its head is {kind}; expected Detect or Segment")
    return network.float().eval()


def yaml_text(path: str, num_classes: int) -> str:
    """Return the YAML of a network for a number of classes.

    Args:
        path: A YAML or its name, such as `yolo11n.yaml`; Ultralytics finds that of all scales.
        num_classes: The number.
    """
    content = tasks.yaml_model_load(path)
    del content["scale"], content["yaml_file"]  # come from the file's name
    return yaml.safe_dump(dict(content, nc=num_classes), sort_keys=False)


def image_size(network: Any) -> int:
    """Return the side of the square that a network was trained for."""
    args = network.args if isinstance(getattr(network, "args", None), dict) else {}
    size = args.get("imgsz") or IMAGE_SIZE
    return max(size) if isinstance(size, (list, tuple)) else int(size)


def check_reading(path: Union[str, Path]) -> None:
    """Raise an error if Ultralytics would run code in a checkpoint to read it.

    Raises:
        UserError: Ultralytics or PyTorch is too old.
    """
    if not hasattr(tasks, "_SafeLoad") or not tasks._SafeLoad.SUPPORTED:
        raise UserError(
            f"{path}: checkpoints can only be read by running code in them with these versions; "
            "expected Ultralytics 8.4 and PyTorch 2.6, which read them safely"
        )


def _build(path: str) -> Any:
    try:
        network = YOLO(path).model
    except UserError:
        raise
    except Exception as error:  # Ultralytics raises almost any exception for a YAML
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: Ultralytics can't build it ({reason})") from error
    return network


def _load(path: Path) -> Any:
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    check_reading(path)
    try:
        content, _ = tasks.torch_safe_load(str(path), safe_only=True)
        network = content.get("ema") or content["model"]
        network.args = dict(content.get("train_args") or {})
    except Exception as error:  # the reader raises almost any exception for a damaged file
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: Ultralytics can't read it safely ({reason})") from error
    return network
