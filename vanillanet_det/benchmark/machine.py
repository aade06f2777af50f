"""The machine of a benchmark: processor, versions, speed limit and memory."""

import contextlib
import ctypes
import os
import platform
import re
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Optional

import torch

from ..models.precision import DTYPES
from .results import Machine

_PACKAGES = (
    *("torch", "torchvision", "mmdet", "mmengine", "mmcv", "mmcv-lite", "timm"),
    *("onnxruntime", "openvino"),
)
_LINEAR = {False: "are in fp32", True: "are also in TF32"}
_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "KMP_AFFINITY",
    "KMP_BLOCKTIME",
    "LD_PRELOAD",
    "MALLOC_CONF",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TRIM_THRESHOLD_",
    "THP_MEM_ALLOC_ENABLE",
    "ONEDNN_MAX_CPU_ISA",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_TF32_OVERRIDE",
)


def describe_machine(device: torch.device, precisions: Sequence[str]) -> Machine:
    """Describe the machine.

    Args:
        device: Device to compute on.
        precisions: Measured precisions, from `PRECISIONS`.

    Returns:
        The machine, without limits.
    """
    versions = {"python": platform.python_version()}
    for package in (*_PACKAGES, "vanillanet_det"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    machine = Machine(
        device=str(device),
        name=torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name(),
        threads=torch.get_num_threads(),
        versions=versions,
        environment={name: os.environ[name] for name in _VARIABLES if name in os.environ},
    )
    if device.type == "cuda" and _is_ampere(device) and torch.backends.cudnn.allow_tf32:
        machine.notes.append(
            "fp32 convolutions and the matrix product are in TF32, PyTorch's default for "
            f"convolutions; linear layers {_LINEAR[torch.backends.cuda.matmul.allow_tf32]}."
        )
    machine.notes.extend(
        f"This processor has no instructions for {precision}: PyTorch emulates it, up to a "
        "hundred times slower than fp32."
        for precision in precisions
        if not _is_native(precision, device)
    )
    return machine


def _is_ampere(device: torch.device) -> bool:
    """Return whether a GPU supports bf16 and TF32."""
    return torch.cuda.get_device_capability(device) >= (8, 0)


def _cpu_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    name = found[1].strip() if found else platform.processor() or platform.machine()
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"


def _is_native(precision: str, device: torch.device) -> bool:
    if precision == "fp32":
        return True
    if device.type == "cuda":
        return precision == "fp16" or _is_ampere(device)
    supported = getattr(torch.ops.mkldnn, f"_is_mkldnn_{precision}_supported", None)
    return supported is None or supported()


def matrix_product(precision: str, device: torch.device) -> tuple[Callable[[], object], int]:
    """Prepare the matrix product that networks are compared with.

    Args:
        precision: One of `PRECISIONS`.
        device: Device to compute on.

    Returns:
        A function that multiplies two square matrices, and its number of operations.
    """
    side = 8192 if device.type == "cuda" else 2048 if _is_native(precision, device) else 256
    a, b = (torch.randn(side, side, device=device).to(DTYPES[precision]) for _ in range(2))

    def multiply() -> torch.Tensor:
        with _tf32_as_in_convolutions():
            return a @ b

    return multiply, 2 * side**3


@contextlib.contextmanager
def _tf32_as_in_convolutions() -> Iterator[None]:
    # By default PyTorch uses TF32 in convolutions, but not in matrix products.
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def synchronize(device: torch.device) -> None:
    """Wait until a device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_bytes(call: Callable[[], object], device: torch.device) -> Optional[int]:
    """Measure the peak memory of a call, beyond the memory in use before it.

    Args:
        call: Function to call once.
        device: Device that the function computes on.

    Returns:
        Bytes of GPU memory, or of the process; None if the system doesn't report them.
    """
    if device.type == "cuda":
        synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with contextlib.suppress(AttributeError, OSError, TypeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)  # returns freed pages to the system
    before = _status("VmRSS")
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    except OSError:
        before = None
    call()
    highest = _status("VmHWM")
    return None if before is None or highest is None else max(0, highest - before)


def _status(name: str) -> Optional[int]:
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return None
    found = re.search(rf"^{name}:\s*(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None
