"""Lambda of the deep training, which turns a ReLU into the identity.

A'(x) = (1 - lambda) ReLU(x) + lambda x, from https://arxiv.org/abs/2305.12972, section 3.1.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import UserError
from ..protocols import HasLambda

SCHEDULE_KEY = "lambda_outlook"
"""Where a checkpoint's meta keeps `lambda_schedule`."""


def deep_activation(x: Tensor, act_lambda: float) -> Tensor:
    """Apply A'(x) = (1 - lambda) ReLU(x) + lambda x, a leaky ReLU with slope lambda."""
    return x if act_lambda == 1 else F.leaky_relu(x, act_lambda)


class LambdaMixin:
    """Lambda of the deep training, for an `nn.Module` (protocols `HasLambda` and `Refusing`).

    Lambda is a buffer, `act_lambda`, so that it is saved, resumed and broadcast with the weights.
    It starts at 1. Forms in which a layer's two convolutions have become one have none.

    Attributes:
        lambda_schedule: When lambda reaches 1, as text for messages; '' if unknown.
        has_loaded: Whether weights were loaded; lambda is then theirs.
    """

    lambda_schedule = ""
    has_loaded = False

    def _add_lambda(self) -> None:
        self.register_buffer("act_lambda", torch.tensor(1.0))

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        # Every way of loading passes here, that of a whole detector included.
        self.has_loaded |= any(key.startswith(prefix) for key in state_dict)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    @property
    def has_lambda(self) -> bool:
        """Whether this form has an A'."""
        return "act_lambda" in self._buffers

    def read_lambda(self) -> float:
        """Return lambda; read it once per forward pass, since on a GPU each read synchronises."""
        return float(self.act_lambda) if self.has_lambda else 1.0

    def set_act_lambda(self, value: float) -> None:
        """Set lambda of the deep training, the slope of A' below zero.

        Args:
            value: From 0 (ReLU) to 1 (identity).

        Raises:
            UserError: A value outside this range, or a form that has no lambda.
        """
        name = type(self).__name__
        if not self.has_lambda:
            raise UserError(
                f"{name}: in this form a layer is one convolution and has no lambda; set it "
                "before fusing or merging"
            )
        if not 0 <= value <= 1:
            raise UserError(f"{name}: lambda {value!r}; expected a number from 0 to 1")
        self.act_lambda.fill_(value)

    def deploy_refusal(self) -> str:
        """Say why the module can't be fused now: below lambda 1 its pairs are no linear maps."""
        if self.read_lambda() == 1:
            return ""
        schedule = f", and {self.lambda_schedule}" if self.lambda_schedule else ""
        return f"lambda is {self.read_lambda():g}{schedule}"

    def check_lambda(self) -> None:
        """Refuse to fuse two layers with a non-linearity between them.

        Raises:
            UserError: Lambda is not 1.
        """
        if reason := self.deploy_refusal():
            raise UserError(
                f"{type(self).__name__}: {reason}; two layers are one only at lambda 1, so fuse "
                "after the deep training has ended, and evaluate unfused until then "
                "(tools/test.py --no-deploy)"
            )


def set_act_lambda(model: nn.Module, value: float) -> int:
    """Set lambda in every module of a model that has one.

    Args:
        model: The model, or a part of it.
        value: From 0 to 1.

    Returns:
        The number of modules that have one; merged and deployed ones have none.

    Raises:
        UserError: A value outside this range.
    """
    modules = [m for m in lambda_modules(model) if m.has_lambda]
    for module in modules:
        module.set_act_lambda(value)
    return len(modules)


def lambda_modules(model: nn.Module) -> list[HasLambda]:
    """List the modules of a model that implement `HasLambda`, in whatever form."""
    return [module for module in model.modules() if isinstance(module, HasLambda)]


def set_lambda_schedule(model: nn.Module, schedule: str) -> None:
    """Tell all modules with a lambda when it reaches 1, as text for their messages."""
    for module in lambda_modules(model):
        module.lambda_schedule = schedule
