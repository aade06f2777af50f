"""The activation that VanillaNet's ideas are applied to, `A` in the paper's formulas."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import UserError

_FUNCTIONS = {"tanh": torch.tanh, "silu": F.silu, "gelu": F.gelu}
ACTIVATIONS = ("relu", *_FUNCTIONS)
"""Names of the activations; the published networks have ReLU."""


def check_activation(name: str) -> None:
    """Raise an error if there is no such activation.

    Raises:
        UserError: The name isn't in `ACTIVATIONS`.
    """
    if name not in ACTIVATIONS:
        raise UserError(f"act_base {name!r}; expected {', '.join(ACTIVATIONS)}")


def activate(x: Tensor, name: str = "relu", inplace: bool = False) -> Tensor:
    """Apply an activation to a tensor, which a ReLU may overwrite with `inplace`."""
    return F.relu(x, inplace) if name == "relu" else _FUNCTIONS[name](x)


def deep_activation(x: Tensor, act_lambda: float, name: str = "relu") -> Tensor:
    """Apply A'(x) = (1 - lambda) A(x) + lambda x; of a ReLU, a leaky ReLU with slope lambda."""
    if act_lambda == 1:
        return x
    if name == "relu":
        return F.leaky_relu(x, act_lambda)
    return torch.lerp(activate(x, name), x, act_lambda)


def mark_activation(module: nn.Module, name: str) -> None:
    """Add a buffer that tells another activation than ReLU in the state dict of a module."""
    if name != "relu":
        module.register_buffer(name, torch.tensor(True))


def marked_activation(state: Mapping[str, Any], prefix: str) -> str:
    """Return the name of the activation of a module, from the names in a state dict."""
    return next((name for name in _FUNCTIONS if f"{prefix}.{name}" in state), "relu")
