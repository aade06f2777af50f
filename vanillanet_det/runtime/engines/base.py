"""What all engines share: their interface, and the errors they raise."""

from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn, Protocol

import numpy as np

from ...errors import UserError, prefix_errors
from ...installation import command
from ..metadata import KEY, Metadata
from ..ultralytics import is_ultralytics, ultralytics_metadata


class Engine(Protocol):
    """A network that several threads may run at the same time.

    Attributes:
        metadata: The file's metadata.
        name: Name and version of the library.
        precision: Precision of the computation: `fp32`, `bf16`, `fp16`, or `int8` in the layers
            that support it.
    """

    metadata: Metadata
    name: str
    precision: str

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Return the outputs by name for uint8 images `(N, height, width, 3)` in BGR.

        Raises:
            UserError: The engine can't process the images.
        """


def read_metadata(path: Path, texts: Mapping[str, str]) -> Metadata:
    """Parse a file's metadata.

    Args:
        path: Name of the file in error messages.
        texts: The file's entries by name.

    Raises:
        UserError: The metadata is missing or invalid.
    """
    with prefix_errors(path):
        if KEY in texts:
            return Metadata.from_json(texts[KEY])
        if is_ultralytics(texts):
            return ultralytics_metadata(texts)
    raise UserError(
        f"{path}: has no metadata {KEY!r}; expected a file written by {command('export')}, or by "
        "Ultralytics"
    )


def refuse_file(path: Path, name: str, error: Exception) -> NoReturn:
    """Report that an engine can't open a file.

    Raises:
        UserError: Always.
    """
    raise UserError(
        f"{path}: {name} can't open it ({_reason(error)}); it may be truncated, or use an "
        "operator that this version doesn't support: copy or export it again, or try the other "
        "engine"
    ) from error


def refuse_images(images: np.ndarray, name: str, error: Exception) -> NoReturn:
    """Report that an engine can't process a batch.

    Raises:
        UserError: Always.
    """
    raise UserError(
        f"images of shape {images.shape}: {name} can't process them ({_reason(error)}); use a "
        "smaller batch size, leave out images of unusual sizes, or try the other engine"
    ) from error


def refuse_device(device: str, name: str, available: list[str]) -> NoReturn:
    """Report that an engine can't use a device.

    Raises:
        UserError: Always.
    """
    raise UserError(
        f"device {device!r}: {name} supports {', '.join(available)} here; choose one of these"
    )


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
