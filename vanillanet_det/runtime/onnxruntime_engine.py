"""ONNX Runtime."""

import ctypes
import os
import platform
import weakref
from pathlib import Path
from typing import Any, Optional

import numpy as np

from .engines import read_metadata, refuse_device, refuse_file, refuse_images
from .metadata import KEY
from .packages import load

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


_sessions: weakref.WeakSet = weakref.WeakSet()


def _keep_sessions() -> None:
    """Let a forked process end no session, which waits for threads that it doesn't have."""
    for session in _sessions:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_keep_sessions)


class OnnxRuntimeEngine:
    """A file in ONNX Runtime, see `Engine`.

    Args:
        path: A `.onnx` file.
        device: `cpu`, `cuda` or `cuda:1`.
        threads: Of the CPU.
        streams: Callers that share them.

    Raises:
        UserError: ONNX Runtime isn't there, or file or device can't be used.
    """

    def __init__(self, path: Path, device: str, threads: Optional[int], streams: int) -> None:
        runtime = load("onnxruntime")
        self.name = f"ONNX Runtime {runtime.__version__}"
        provider, options = self._find_provider(runtime, device)
        settings = runtime.SessionOptions()
        settings.log_severity_level = 4  # errors are raised, too
        # By default its threads look for work for a while after a call, and take a core from
        # whoever prepares the next picture.
        settings.add_session_config_entry("session.force_spinning_stop", "1")
        if threads is None and streams > 1:
            threads = os.cpu_count() or 1
        if threads is not None:
            settings.intra_op_num_threads = max(1, threads // streams)
        try:
            self._session = runtime.InferenceSession(
                str(path), settings, providers=[(provider, options)], enable_fallback=0
            )
        except Exception as error:  # its exceptions have no base of their own
            refuse_file(path, self.name, error)
        _sessions.add(self._session)
        # A GPU whose libraries can't be loaded is passed over in silence.
        if self._session.get_providers()[0] != provider:
            refuse_device(device, self.name, ["cpu"])
        texts = self._session.get_modelmeta().custom_metadata_map
        self.metadata = read_metadata(path, texts.get(KEY))
        self.precision = self.metadata.precision
        on_arm = platform.machine().lower() in ("arm64", "aarch64")
        if self.precision == "fp16" and provider == _PROVIDERS["cpu"] and not on_arm:
            self.precision = "fp32"  # other CPUs have no kernels for fp16, and casts are put in

    def _find_provider(self, runtime: Any, device: str) -> tuple[str, dict[str, Any]]:
        there = runtime.get_available_providers()
        known = [name for name, provider in _PROVIDERS.items() if provider in there]
        kind, colon, number = device.partition(":")
        if kind not in known or (colon and not (kind == "cuda" and number.isdecimal())):
            refuse_device(device, self.name, known)
        return _PROVIDERS[kind], {"device_id": int(number)} if number else {}

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Compute the outputs by name from uint8 images `(N, height, width, 3)` in BGR."""
        names = [output.name for output in self._session.get_outputs()]
        try:
            outputs = self._session.run(names, {"images": images})
        except Exception as error:  # its exceptions have no base of their own
            refuse_images(images, self.name, error)
        return dict(zip(names, outputs))
