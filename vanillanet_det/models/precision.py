"""The precision that a network computes in."""

from functools import partial
from typing import Any

import torch
from mmdet.models.backbones.swin import WindowMSA
from mmdet.models.roi_heads.roi_extractors import BaseRoIExtractor
from torch import Tensor, nn

DTYPES = dict(fp32=torch.float32, bf16=torch.bfloat16, fp16=torch.float16)


def to_precision(model: nn.Module, dtype: torch.dtype) -> None:
    """Make a backbone or a detector compute in a precision, in place.

    Parameters and buffers are converted, images after normalisation. Boxes are decoded in float32
    and regions of interest stay in it: bfloat16 has 8 bits for a coordinate, and would move a
    coordinate of 1,333 by up to 4 pixels. Heads that decode in their forward pass, such as those of
    the DETR family, decode in the model's precision.

    Args:
        model: Model in float32, already fused if it is to be fused. A detector accepts the same
            images and samples as before; a bare backbone expects images in the new precision.
        dtype: torch.float32 (no change), torch.bfloat16 or torch.float16.
    """
    if dtype == torch.float32:
        return
    preprocessor = getattr(model, "data_preprocessor", None)
    if preprocessor is not None:
        del model.data_preprocessor  # its mean and standard deviation stay in float32
    model.to(dtype)
    # With partial functions, unlike closures, the model can be copied and saved.
    narrow, widen = partial(_cast_output, dtype), partial(_cast_output, torch.float32)
    for module in model.modules():
        if hasattr(module, "predict_by_feat"):
            module.register_forward_hook(widen)
        elif isinstance(module, BaseRoIExtractor):
            # mmdet casts the regions to the type of the features. The features become float32:
            # RoIAlign has no kernel for bfloat16.
            module.register_forward_pre_hook(partial(_cast_input, torch.float32), with_kwargs=True)
            module.register_forward_hook(narrow)
        elif isinstance(module, WindowMSA):  # Swin creates its masks in float32
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
    """Cast floating-point tensors, also in lists, tuples and dicts; keep anything else."""
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, dict):
        return {key: _cast(item, dtype) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_cast(item, dtype) for item in value)
    return value
