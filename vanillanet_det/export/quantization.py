"""Models in int8, by post-training quantisation with NNCF."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..runtime.packages import load

# Quantised are convolutions and matrix products. Coordinates have more than 8 bits, and regions
# of a level that no picture has any on have no statistics.
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
    """Quantise weights and activations to 8 bits.

    Args:
        model: An ONNX model, or OpenVINO's.
        format: `onnx` or `openvino`.
        images: Pictures from which the ranges of activations are learnt.
        prepare: Makes of one a batch as the model takes it, uint8 `(N, H, W, 3)`, one after the
            other, since resized they are large.

    Returns:
        A model of the same kind, with the operators that quantise in it.
    """
    nncf = load("nncf")

    def as_input(image: np.ndarray) -> Any:
        batch = np.ascontiguousarray(prepare(image))
        return {"images": batch} if format == "onnx" else batch

    with _quiet():
        return nncf.quantize(
            model,
            nncf.Dataset(images, as_input),
            # Activations that are negative, too, have a zero point.
            preset=nncf.QuantizationPreset.MIXED,
            target_device=nncf.TargetDevice.CPU,
            subset_size=len(images),
            ignored_scope=nncf.IgnoredScope(
                # The stem sees pixels that aren't normalised yet, and costs little.
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
        with np.errstate(all="ignore"):  # statistics of regions, where there is none
            yield
    finally:
        logger.setLevel(level)
