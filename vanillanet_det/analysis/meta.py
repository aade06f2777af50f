"""Models on the meta device: shapes without data, built in milliseconds."""

import copy

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn


def build_on_meta(model_cfg: dict) -> nn.Module:
    """Build a model on the meta device.

    Args:
        model_cfg: Its config.

    Returns:
        The model; if it has a lambda, its value is 1.

    Raises:
        Exception: Whatever the registry or a constructor raises.
    """
    try:
        with torch.device("meta"):
            model = MODELS.build(copy.deepcopy(model_cfg))
    except Exception:  # some constructors read tensor values, as Swin does for its drop rates
        model = _without_data(MODELS.build(copy.deepcopy(model_cfg)))
    model.to("meta")  # a data preprocessor moves its images to the last device of a `to`
    return model


def _without_data(model: nn.Module) -> nn.Module:
    """Copy a model to the meta device; shared tensors stay shared."""
    copies: dict[int, Tensor] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        data = tensor.detach().to("meta")
        copies[id(tensor)] = nn.Parameter(data) if isinstance(tensor, nn.Parameter) else data
    return copy.deepcopy(model, copies)
