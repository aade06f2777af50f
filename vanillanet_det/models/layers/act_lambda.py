"""Lambda of deep training, which turns an activation into the identity.

A'(x) = (1 - lambda) A(x) + lambda x, from https://arxiv.org/abs/2305.12972, section 3.1; see
`deep_activation`.
"""

from typing import Any

import torch
from torch import nn

from ...errors import UserError
from ...installation import command
from ..protocols import HasLambda

SCHEDULE_KEY = "lambda_outlook"
"""Key of `lambda_schedule` in a checkpoint's meta."""


class LambdaMixin:
    """Mixin for modules with the lambda of deep training (protocols `HasLambda` and `Refusing`).

    Lambda is a buffer, `act_lambda`, so that it is saved, resumed and broadcast with the weights.
    It starts at 1. The merged and deployed forms have no lambda.

    Attributes:
        lambda_schedule: When lambda reaches 1, as text for messages; '' if unknown.
        has_loaded: Whether weights were loaded, which also set lambda.
    """

    lambda_schedule = ""
    has_loaded = False

    def _add_lambda(self) -> None:
        self.register_buffer("act_lambda", torch.tensor(1.0))

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        # All loading calls this method, including that of a whole detector.
        self.has_loaded |= any(key.startswith(prefix) for key in state_dict)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    @property
    def has_lambda(self) -> bool:
        """Whether this form has an A'."""
        return "act_lambda" in self._buffers

    def read_lambda(self) -> float:
        """Return lambda; 1 without data, on the meta device.

        On a GPU, each call synchronises, so call it once per forward pass.
        """
        known = self.has_lambda and not self.act_lambda.is_meta
        return float(self.act_lambda) if known else 1.0

    def set_act_lambda(self, value: float) -> None:
        """Set lambda, of a ReLU the slope of A' below zero.

        Args:
            value: From 0 (the activation) to 1 (identity).

        Raises:
            UserError: The value is outside this range, or this form has no lambda.
        """
        name = type(self).__name__
        if not self.has_lambda:
            raise UserError(
                f"{name}: this form has one convolution per layer and no lambda; set lambda "
                "before fusing or merging"
            )
        if not 0 <= value <= 1:
            raise UserError(f"{name}: lambda {value!r}; expected a number from 0 to 1")
        self.act_lambda.fill_(value)

    def deploy_refusal(self) -> str:
        """Return the reason why the module can't be fused at present; '' if lambda is 1."""
        if self.read_lambda() == 1:
            return ""
        schedule = f", and {self.lambda_schedule}" if self.lambda_schedule else ""
        return f"lambda is {self.read_lambda():g}{schedule}"

    def check_lambda(self) -> None:
        """Raise an error if there is still a non-linearity between the layers to fuse.

        Raises:
            UserError: Lambda is below 1.
        """
        if reason := self.deploy_refusal():
            raise UserError(
                f"{type(self).__name__}: {reason}; layers can be fused only at lambda 1; fuse "
                "after deep training has ended, and evaluate the unfused network until then "
                f"({command('test')} --no-deploy)"
            )


def set_act_lambda(model: nn.Module, value: float) -> int:
    """Set lambda in every module of a model that has one.

    Args:
        model: The model, or a part of it.
        value: From 0 to 1.

    Returns:
        The number of modules with a lambda; merged and deployed modules have none.

    Raises:
        UserError: The value is outside this range.
    """
    modules = [m for m in lambda_modules(model) if m.has_lambda]
    for module in modules:
        module.set_act_lambda(value)
    return len(modules)


def lambda_modules(model: nn.Module) -> list[HasLambda]:
    """Return the modules of a model that implement `HasLambda`, in any form."""
    return [module for module in model.modules() if isinstance(module, HasLambda)]


def set_lambda_schedule(model: nn.Module, schedule: str) -> None:
    """Set `lambda_schedule`, a text for messages, in all modules that implement `HasLambda`."""
    for module in lambda_modules(model):
        module.lambda_schedule = schedule
