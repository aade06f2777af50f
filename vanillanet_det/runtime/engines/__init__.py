"""Engines that run exported files, and a function that opens a file with an engine."""

import contextlib
import importlib.util
from pathlib import Path
from typing import Optional, Union

from ...errors import UserError
from ...installation import command
from ..ultralytics import UltralyticsMetadata
from .base import Engine
from .ultralytics import UltralyticsEngine

__all__ = ["ENDINGS", "ENGINES", "Engine", "open_engine"]

ENGINES = ("onnxruntime", "openvino")
ENDINGS = (".onnx", ".xml")


def open_engine(
    path: Union[str, Path],
    engine: Optional[str] = None,
    device: str = "cpu",
    threads: Optional[int] = None,
    streams: int = 1,
) -> Engine:
    """Open an exported file.

    Args:
        path: A `.onnx` file, or a `.xml` file with its `.bin` file beside it.
        engine: `onnxruntime` or `openvino`. None selects OpenVINO for `.xml` files and ONNX
            Runtime for `.onnx` files, or OpenVINO if ONNX Runtime can't open the file.
        device: `cpu`; for ONNX Runtime also `cuda` or `cuda:1`, for OpenVINO `gpu` or `gpu:1`.
        threads: Number of CPU threads; None leaves it to the engine.
        streams: Number of concurrent callers, which share the threads.

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
    if path.suffix.lower() == ".xml" and engine == "onnxruntime":
        raise UserError(
            f"{path}: is an OpenVINO file; leave engine out, or pass the .onnx file instead"
        )
    options = device, threads, streams
    if path.suffix.lower() == ".xml" or engine == "openvino":
        return _open("openvino", path, *options)
    try:
        return _open("onnxruntime", path, *options)
    except UserError:
        # ONNX Runtime has no bf16 convolution for CPUs, and may not be installed.
        if engine is None and importlib.util.find_spec("openvino") is not None:
            with contextlib.suppress(UserError):
                return _open("openvino", path, *options)
        raise


def _open(engine: str, path: Path, device: str, threads: Optional[int], streams: int) -> Engine:
    if engine == "openvino":
        from .openvino import OpenVinoEngine as Opened
    else:
        from .onnxruntime import OnnxRuntimeEngine as Opened
    opened = Opened(path, device, threads, streams)
    is_foreign = isinstance(opened.metadata, UltralyticsMetadata)
    return UltralyticsEngine(opened) if is_foreign else opened


def _check_file(path: Path) -> None:
    if path.suffix.lower() not in ENDINGS:
        raise UserError(
            f"{path}: expected a .onnx or .xml file; {command('export')} writes one from a "
            "checkpoint"
        )
    needed = [path, *([path.with_suffix(".bin")] if path.suffix.lower() == ".xml" else [])]
    for file in needed:
        if not file.is_file():
            beside = "" if file == path else f", which {path.name} needs beside it"
            raise UserError(f"{file}: there is no such file{beside}; copy it, or export it again")
    if not path.stat().st_size:
        raise UserError(f"{path}: is empty; copy it, or export it again")
