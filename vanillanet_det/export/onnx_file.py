"""Export of PyTorch modules to ONNX."""

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
from .postprocessing import onnx_translations

OPSET, BF16_OPSET = 18, 22  # the first with convolution in bf16
_EXAMPLE = (2, 160, 192)  # torch.export specializes on 1 and on equal sizes
_DIMENSIONS = ("batch", "height", "width")


def to_onnx(
    module: nn.Module,
    outputs: Sequence[str],
    batch_size: Optional[int] = None,
    input_size: Optional[tuple[int, int]] = None,
    opset: int = OPSET,
) -> onnx.ModelProto:
    """Export a module that maps uint8 images `(N, H, W, 3)`, with torch's dynamo exporter.

    Args:
        module: The module, in eval mode.
        outputs: Names of its outputs.
        batch_size: Fixed N; None for any.
        input_size: Fixed H and W; None for any.
        opset: Opset version.

    Returns:
        The model, which uses only standard ONNX operators.
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
            custom_translation_table=onnx_translations(),
            verbose=False,
        )
    model = exported.model_proto
    _clean(model.graph)
    onnx.checker.check_model(model)
    return model


def set_metadata(model: onnx.ModelProto, metadata: Metadata) -> None:
    """Write metadata into a model, in place."""
    model.producer_name = KEY
    onnx.helper.set_model_props(model, {KEY: metadata.to_json()})


def opset_of(model: onnx.ModelProto) -> int:
    """Read the opset version of a model."""
    return next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def _clean(graph: onnx.GraphProto) -> None:
    """Remove source locations of nodes, and name the dimensions."""
    for node in graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del graph.value_info[:]  # engines infer it
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
            elif name:  # a formula of renamed dimensions
                dimension.ClearField("dim_param")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's progress and its developer warnings."""
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
