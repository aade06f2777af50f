"""PyTorch modules as ONNX models."""

import contextlib
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Optional

import onnx
import torch
from torch import nn

from ..runtime.metadata import KEY, Metadata
from .non_max_suppression import translations

OPSET, BF16_OPSET = 18, 22  # ONNX's convolution takes bf16 since 22
_EXAMPLE = (2, 160, 192)  # neither 1 nor equal, which would be taken for constants
_DIMENSIONS = ("batch", "height", "width")


def to_onnx(
    module: nn.Module,
    outputs: Sequence[str],
    batch_size: Optional[int] = None,
    input_size: Optional[tuple[int, int]] = None,
    opset: int = OPSET,
) -> onnx.ModelProto:
    """Export a function of uint8 images `(N, H, W, 3)`, with torch's exporter of today.

    Args:
        module: The function, in evaluation mode.
        outputs: Names of its outputs.
        batch_size: N, or None for any.
        input_size: H and W, or None for any.
        opset: Version of ONNX's operators.

    Returns:
        The model, in standard operators alone.
    """
    fixed = (batch_size, *(input_size or (None, None)))
    example = [size or chosen for size, chosen in zip(fixed, _EXAMPLE)]
    dynamic = {i: torch.export.Dim.DYNAMIC for i, size in enumerate(fixed) if size is None}
    with torch.no_grad(), _quiet():
        program = torch.export.export(
            module,
            (torch.zeros(*example, 3, dtype=torch.uint8),),
            dynamic_shapes=({**dynamic},),
            strict=False,
        )
        exported = torch.onnx.export(
            program,
            dynamo=True,
            input_names=["images"],
            output_names=list(outputs),
            opset_version=opset,
            custom_translation_table=translations(),
            verbose=False,
        )
    model = exported.model_proto
    _clean(model.graph)
    onnx.checker.check_model(model)
    return model


def set_metadata(model: onnx.ModelProto, metadata: Metadata) -> None:
    """Write into a model what it is, in place."""
    model.producer_name = KEY
    onnx.helper.set_model_props(model, {KEY: metadata.to_json()})


def opset_of(model: onnx.ModelProto) -> int:
    """Read the version of ONNX's operators in a model."""
    return next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def _clean(graph: onnx.GraphProto) -> None:
    """Take out where each node was made, file and line, and give dimensions their names."""
    for node in graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del graph.value_info[:]  # which engines infer anyway
    names = {}
    for axis, dimension in zip(_DIMENSIONS, graph.input[0].type.tensor_type.shape.dim):
        if dimension.dim_param:
            names[dimension.dim_param] = axis
    for value in (*graph.input, *graph.output):
        del value.metadata_props[:]
        for dimension in value.type.tensor_type.shape.dim:
            name = dimension.dim_param
            if name in names:
                dimension.dim_param = names[name]
            elif re.fullmatch(r"u\d+", name):
                dimension.dim_param = "detections"
            elif name:  # a formula of others, whose names are gone
                dimension.ClearField("dim_param")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress and its hints to its own developers to itself."""
    levels: dict[Any, int] = {}
    for name in ("torch.onnx", "torch.export", "onnx_ir", "onnxscript"):
        logger = logging.getLogger(name)
        levels[logger] = logger.level
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)
