"""A detector that computes in bf16 or fp16, and keeps the coordinates of its boxes."""

from functools import partial
from typing import Any

import torch
from mmdet.models.backbones.swin import WindowMSA
from mmdet.models.roi_heads.roi_extractors import BaseRoIExtractor
from torch import Tensor, nn


def to_precision(model: nn.Module, dtype: torch.dtype) -> None:
    """Let a backbone or a detector compute in a precision, in place.

    Parameters and buffers are converted, and images once they are normalised. Boxes are decoded
    from what the heads give in float32, and regions of interest stay in it: bfloat16 has 8 bits
    for a coordinate, and would move one at 1,333 by up to 4 pixels. Heads that decode in their
    forward pass, such as those of the DETR family, do so in the model's precision.

    Args:
        model: In float32; fused before, if it shall be. A detector takes images and samples as
            before, a bare backbone images of the new precision.
        dtype: torch.float32 (nothing is done), torch.bfloat16 or torch.float16.
    """
    if dtype == torch.float32:
        return
    preprocessor = getattr(model, "data_preprocessor", None)
    if preprocessor is not None:
        del model.data_preprocessor  # so that its mean and deviation stay exact
    model.to(dtype)
    # Partial functions and not closures, for models to be copied and saved with them.
    narrow, widen = partial(_cast_output, dtype), partial(_cast_output, torch.float32)
    for module in model.modules():
        if hasattr(module, "predict_by_feat"):
            module.register_forward_hook(widen)
        elif isinstance(module, BaseRoIExtractor):
            # mmdet's gives the regions the type of the features. These become float32 in any
            # case, since RoIAlign has no kernel for bfloat16.
            module.register_forward_pre_hook(partial(_cast_input, torch.float32), with_kwargs=True)
            module.register_forward_hook(narrow)
        elif isinstance(module, WindowMSA):  # Swin's, whose masks are made in float32
            module.register_forward_pre_hook(partial(_cast_input, dtype), with_kwargs=True)
    if preprocessor is not None:
        preprocessor.register_forward_hook(narrow)
        model.data_preprocessor = preprocessor


def _cast_output(dtype: torch.dtype, module: nn.Module, args: tuple, output: Any) -> Any:
    return _cast(output, dtype)


def _cast_input(
    dtype: torch.dtype, module: nn.Module, args: tuple, kwargs: dict
) -> tuple[tuple, dict]:
    return _cast(args, dtype), _cast(kwargs, dtype)


def _cast(value: Any, dtype: torch.dtype) -> Any:
    """Cast the floating tensors in lists, tuples and dicts; leave anything else."""
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, dict):
        return {key: _cast(item, dtype) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_cast(item, dtype) for item in value)
    return value
