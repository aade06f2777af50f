"""Running exported files in OpenVINO."""

import queue
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any, Optional

import numpy as np

from ..metadata import KEY, Metadata
from ..packages import load
from ..ultralytics import KEYS
from .base import read_metadata, refuse_device, refuse_file, refuse_images

_NAMES = {"f32": "fp32", "f16": "fp16", "bf16": "bf16"}
_lock = threading.Lock()


def get_core() -> Any:
    """Return the process's only core.

    Each core gives the thread that compiles with it a signal stack, and frees it when the core is
    deleted. With several cores, the thread would be left with a freed stack, and the next signal
    that Python handles, such as the exit of a data loader's worker, would crash the process. A
    forked process that deletes a core would wait forever for threads that exist only in its parent.

    Raises:
        UserError: OpenVINO isn't installed.
    """
    with _lock:
        return _make_core()


@lru_cache(maxsize=1)
def _make_core() -> Any:
    return load("openvino").Core()


class OpenVinoEngine:
    """Engine that runs a file in OpenVINO, see `Engine`.

    Args:
        path: A `.xml` or a `.onnx` file.
        device: `cpu`, `gpu` or `gpu:1`.
        threads: Number of CPU threads; None leaves it to OpenVINO.
        streams: Number of concurrent callers, which share the threads.

    Raises:
        UserError: OpenVINO isn't installed, or can't use the file or the device.
    """

    def __init__(self, path: Path, device: str, threads: Optional[int], streams: int) -> None:
        openvino = load("openvino")
        self.name = f"OpenVINO {openvino.__version__.partition('-')[0]}"
        core = get_core()
        known = {name.lower().replace(".", ":"): name for name in core.available_devices}
        if device not in known:
            if not (device == "gpu" and "gpu:0" in known):
                refuse_device(device, self.name, list(known))
            device = "gpu:0"
        try:
            model = self._read(core, path)
        except Exception as error:  # RuntimeError, or an exception of a frontend
            refuse_file(path, self.name, error)
        self.metadata = read_metadata(path, _find_texts(model))
        settings = {
            # By default OpenVINO runs a float32 file in bfloat16 on CPUs that support it.
            "INFERENCE_PRECISION_HINT": _hint(self.metadata, device),
            "NUM_STREAMS": streams,
        }
        if threads is not None and device == "cpu":
            settings["INFERENCE_NUM_THREADS"] = threads
        try:
            compiled = core.compile_model(model, known[device], settings)
            requests = [compiled.create_infer_request() for _ in range(streams)]
        except Exception as error:
            refuse_file(path, self.name, error)
        hint = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        self.precision = "int8" if self.metadata.precision == "int8" else _NAMES.get(hint, hint)
        self._names = [output.get_any_name() for output in compiled.outputs]
        self._requests: queue.SimpleQueue = queue.SimpleQueue()
        for request in requests:
            self._requests.put(request)

    def _read(self, core: Any, path: Path) -> Any:
        if path.suffix.lower() == ".xml":
            return core.read_model(path)
        # Given a truncated file, the core would try every frontend, each of which prints errors.
        frontend = load("openvino.frontend").FrontEndManager().load_by_framework("onnx")
        return frontend.convert(frontend.load(str(path)))

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Return the outputs by name for uint8 images `(N, height, width, 3)` in BGR."""
        request = self._requests.get()
        try:
            outputs = request.infer([images])
            return dict(zip(self._names, outputs.values()))
        except Exception as error:  # RuntimeError, or an exception of OpenVINO
            refuse_images(images, self.name, error)
        finally:
            self._requests.put(request)


def _find_texts(model: Any) -> dict[str, str]:
    # OpenVINO files, and files read from ONNX.
    places = [[*folder, key] for folder in ([], ["framework"]) for key in (KEY, *KEYS)]
    found = [place for place in places if model.has_rt_info(place)]
    return {place[-1]: str(model.get_rt_info(place).value) for place in found}


def _hint(metadata: Metadata, device: str) -> str:
    if metadata.precision == "bf16":
        return "bf16"
    return "f16" if metadata.precision == "fp16" and device != "cpu" else "f32"
