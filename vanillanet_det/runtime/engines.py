"""Exported files, opened with whatever computes them."""

import contextlib
import importlib.util
from pathlib import Path
from typing import NoReturn, Optional, Protocol, Union

import numpy as np

from ..errors import UserError
from .metadata import KEY, Metadata

ENGINES = ("onnxruntime", "openvino")
ENDINGS = (".onnx", ".xml")


class Engine(Protocol):
    """A network that several threads may use at the same time.

    Attributes:
        metadata: What its file says.
        name: Of what computes, with its version.
        precision: In which it computes: `fp32`, `bf16`, `fp16`, or `int8` where layers can.
    """

    metadata: Metadata
    name: str
    precision: str

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Compute the outputs by name from uint8 images `(N, height, width, 3)` in BGR.

        Raises:
            UserError: They can't be computed.
        """


def open_engine(
    path: Union[str, Path],
    engine: Optional[str] = None,
    device: str = "cpu",
    threads: Optional[int] = None,
    streams: int = 1,
) -> Engine:
    """Open an exported file.

    Args:
        path: A `.onnx` file, or an `.xml` file with its `.bin` file beside it.
        engine: `onnxruntime` or `openvino`; None for ONNX Runtime where the file is ONNX, and for
            OpenVINO where ONNX Runtime can't open it.
        device: `cpu`, or for ONNX Runtime `cuda` or `cuda:1`, for OpenVINO `gpu` or `gpu:1`.
        threads: Of the CPU; None for the engine's choice.
        streams: Callers that compute at the same time; they share the threads.

    Raises:
        UserError: The file, the engine or the device can't be used.
    """
    path = Path(path).expanduser()
    for name, value in (("threads", threads), ("streams", streams)):
        if value is not None and value < 1:
            raise UserError(f"{name} {value!r}: expected a positive number")
    if engine not in (None, *ENGINES):
        raise UserError(f"engine {engine!r}: expected {' or '.join(ENGINES)}")
    _check_file(path)
    if path.suffix == ".xml" and engine == "onnxruntime":
        raise UserError(f"{path}: is OpenVINO's; leave engine out, or give the .onnx file")
    opened = device, threads, streams
    if path.suffix == ".xml" or engine == "openvino":
        return _open("openvino", path, *opened)
    try:
        return _open("onnxruntime", path, *opened)
    except UserError:
        # ONNX Runtime has no convolution in bf16 for CPUs, and may not be installed.
        if engine is None and importlib.util.find_spec("openvino") is not None:
            with contextlib.suppress(UserError):
                return _open("openvino", path, *opened)
        raise


def _open(engine: str, path: Path, device: str, threads: Optional[int], streams: int) -> Engine:
    if engine == "openvino":
        from .openvino_engine import OpenVinoEngine as Opened
    else:
        from .onnxruntime_engine import OnnxRuntimeEngine as Opened
    return Opened(path, device, threads, streams)


def _check_file(path: Path) -> None:
    if path.suffix not in ENDINGS:
        raise UserError(
            f"{path}: expected a .onnx or .xml file; tools/export.py makes one of a checkpoint"
        )
    needed = [path, *([path.with_suffix(".bin")] if path.suffix == ".xml" else [])]
    for file in needed:
        if not file.is_file():
            beside = "" if file == path else f", which {path.name} needs beside it"
            raise UserError(f"{file}: there is no such file{beside}; copy it, or export it again")
    if not path.stat().st_size:
        raise UserError(f"{path}: is empty; copy it, or export it again")


def read_metadata(path: Path, text: Optional[str]) -> Metadata:
    """Read what a file says of itself.

    Args:
        path: What errors call the file.
        text: What is written in it under `KEY`.

    Raises:
        UserError: Nothing, or it can't be used.
    """
    if text is None:
        raise UserError(
            f"{path}: has no metadata {KEY!r}; expected a file that tools/export.py wrote"
        )
    try:
        return Metadata.from_json(text)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def refuse_file(path: Path, name: str, error: Exception) -> NoReturn:
    """Say that an engine can't open a file.

    Raises:
        UserError: Always.
    """
    reason = " ".join(str(error).split())
    raise UserError(
        f"{path}: {name} can't open it ({reason[:300]}); it may be truncated, or have an operator "
        "that isn't known here: copy or export it again, or try the other engine"
    ) from error


def refuse_images(images: np.ndarray, name: str, error: Exception) -> NoReturn:
    """Say that an engine can't compute a batch.

    Raises:
        UserError: Always.
    """
    reason = " ".join(str(error).split())
    raise UserError(
        f"images of shape {images.shape}: {name} can't compute them ({reason[:300]}); take a "
        "smaller batch size, leave out pictures of an odd size, or try the other engine"
    ) from error


def refuse_device(device: str, name: str, known: list[str]) -> NoReturn:
    """Say that an engine can't use a device.

    Raises:
        UserError: Always.
    """
    raise UserError(f"device {device!r}: {name} has {', '.join(known)} here; take one of these")
