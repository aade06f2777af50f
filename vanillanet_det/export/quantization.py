"""Post-training quantisation to int8 with NNCF."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..runtime.packages import load

# Only convolutions and matrix products are quantised. Coordinates need more than 8 bits, and pooled
# regions of a level without regions have no statistics.
_NOT_QUANTIZED = {
    "onnx": (
        *("Add", "Sub", "Mul", "Div", "Exp", "Sigmoid", "Softmax", "Clip", "Min", "Max"),
        *("ReduceMax", "ReduceSum", "RoiAlign", "Concat", "Gather", "Resize"),
    ),
    "openvino": (
        *("Add", "Subtract", "Multiply", "Divide", "Exp", "Sigmoid", "Softmax", "Clamp"),
        *("Minimum", "Maximum", "ReduceMax", "ReduceSum", "ROIAlign", "Concat", "Gather"),
        "Interpolate",
    ),
}


def quantize(
    model: Any,
    format: str,
    images: Sequence[np.ndarray],
    prepare: Callable[[np.ndarray], np.ndarray],
) -> Any:
    """Quantise weights and activations to int8.

    Args:
        model: An ONNX or OpenVINO model.
        format: `onnx` or `openvino`.
        images: Calibration images.
        prepare: Function that turns an image into an input batch, uint8 `(N, H, W, 3)`; called for
            one image at a time, since resized images are large.

    Returns:
        The quantised model, in the same format.
    """
    nncf = load("nncf")

    def as_input(image: np.ndarray) -> Any:
        batch = np.ascontiguousarray(prepare(image))
        return {"images": batch} if format == "onnx" else batch

    with _quiet():
        return nncf.quantize(
            model,
            nncf.Dataset(images, as_input),
            # Activations that can be negative are quantised asymmetrically.
            preset=nncf.QuantizationPreset.MIXED,
            target_device=nncf.TargetDevice.CPU,
            subset_size=len(images),
            ignored_scope=nncf.IgnoredScope(
                # The stem processes unnormalised pixels, and its cost is low.
                names=[_first_convolution(model, format)],
                types=list(_NOT_QUANTIZED[format]),
                validate=False,
            ),
        )


def _first_convolution(model: Any, format: str) -> str:
    if format == "onnx":
        return next(node.name for node in model.graph.node if node.op_type == "Conv")
    return next(
        node.get_friendly_name()
        for node in model.get_ordered_ops()
        if node.get_type_name() == "Convolution"
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("nncf")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with np.errstate(all="ignore"):  # statistics of empty sets of regions
            yield
    finally:
        logger.setLevel(level)
