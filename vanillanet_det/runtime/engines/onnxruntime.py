"""Running exported files in ONNX Runtime."""

import ctypes
import os
import platform
import weakref
from pathlib import Path
from typing import Any, Optional

import numpy as np

from ..packages import load
from .base import read_metadata, refuse_device, refuse_file, refuse_images

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_sessions: weakref.WeakSet = weakref.WeakSet()


def _keep_sessions() -> None:
    """Keep sessions alive in a forked process: deleting one would wait for the parent's threads."""
    for session in _sessions:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_keep_sessions)


class OnnxRuntimeEngine:
    """Engine that runs a file in ONNX Runtime, see `Engine`.

    Args:
        path: A `.onnx` file.
        device: `cpu`, `cuda` or `cuda:1`.
        threads: Number of CPU threads; None leaves it to ONNX Runtime.
        streams: Number of concurrent callers, which share the threads.

    Raises:
        UserError: ONNX Runtime isn't installed, or can't use the file or the device.
    """

    def __init__(self, path: Path, device: str, threads: Optional[int], streams: int) -> None:
        runtime = load("onnxruntime")
        self.name = f"ONNX Runtime {runtime.__version__}"
        provider, options = self._find_provider(runtime, device)
        settings = runtime.SessionOptions()
        settings.log_severity_level = 4  # errors are also raised as exceptions
        # By default, its threads keep spinning for a while after a call, which takes a core away
        # from the thread that prepares the next image.
        settings.add_session_config_entry("session.force_spinning_stop", "1")
        if threads is None and streams > 1:
            threads = os.cpu_count() or 1
        if threads is not None:
            settings.intra_op_num_threads = max(1, threads // streams)
        try:
            self._session = runtime.InferenceSession(
                str(path), settings, providers=[(provider, options)], enable_fallback=0
            )
        except Exception as error:  # its exceptions have no common base class
            refuse_file(path, self.name, error)
        _sessions.add(self._session)
        # ONNX Runtime silently ignores a GPU whose libraries can't be loaded.
        if self._session.get_providers()[0] != provider:
            refuse_device(device, self.name, ["cpu"])
        texts = self._session.get_modelmeta().custom_metadata_map
        self.metadata = read_metadata(path, texts)
        self.precision = self.metadata.precision
        on_arm = platform.machine().lower() in ("arm64", "aarch64")
        if self.precision == "fp16" and provider == _PROVIDERS["cpu"] and not on_arm:
            self.precision = "fp32"  # other CPUs have no fp16 kernels: ONNX Runtime inserts casts

    def _find_provider(self, runtime: Any, device: str) -> tuple[str, dict[str, Any]]:
        available = runtime.get_available_providers()
        known = [name for name, provider in _PROVIDERS.items() if provider in available]
        kind, colon, number = device.partition(":")
        if kind not in known or (colon and not (kind == "cuda" and number.isdecimal())):
            refuse_device(device, self.name, known)
        return _PROVIDERS[kind], {"device_id": int(number)} if number else {}

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Return the outputs by name for uint8 images `(N, height, width, 3)` in BGR."""
        names = [output.name for output in self._session.get_outputs()]
        try:
            outputs = self._session.run(names, {"images": images})
        except Exception as error:  # its exceptions have no common base class
            refuse_images(images, self.name, error)
        return dict(zip(names, outputs))
