"""Models without data: shapes only, built in milliseconds."""

import copy

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn


def build_on_meta(model_cfg: dict) -> nn.Module:
    """Build a model on the meta device.

    Args:
        model_cfg: Its config.

    Returns:
        The model, whose lambda, if it has any, is 1.

    Raises:
        Exception: What the registry or a constructor raises.
    """
    try:
        with torch.device("meta"):
            model = MODELS.build(copy.deepcopy(model_cfg))
    except Exception:  # some read values while they are built, as Swin does its drop rates
        model = _without_data(MODELS.build(copy.deepcopy(model_cfg)))
    for module in model.modules():
        if hasattr(module, "act_lambda"):
            module.act_lambda = torch.tensor(1.0, device="cpu")  # the one value that is read
    return model


def _without_data(model: nn.Module) -> nn.Module:
    """Copy a model to the meta device; what its modules share stays shared."""
    copies: dict[int, Tensor] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        data = tensor.detach().to("meta")
        copies[id(tensor)] = nn.Parameter(data) if isinstance(tensor, nn.Parameter) else data
    return copy.deepcopy(model, copies)
