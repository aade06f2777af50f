"""Lambda, which turns the deep training's activation from a ReLU into nothing.

A'(x) = (1 - lambda) ReLU(x) + lambda x, from https://arxiv.org/abs/2305.12972, section 3.1.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import UserError

OUTLOOK = "lambda_outlook"
"""Where a checkpoint's meta keeps the words."""


def deep_activation(x: Tensor, act_lambda: float) -> Tensor:
    """Apply A'(x) = (1 - lambda) ReLU(x) + lambda x, a leaky ReLU with slope lambda."""
    return x if act_lambda == 1 else F.leaky_relu(x, act_lambda)


class HasLambda:
    """What modules with a deep training share, beside `nn.Module`.

    Lambda is a buffer, `act_lambda`, so that it is saved, resumed and broadcast with the rest.
    It begins at 1; forms in which a layer's two convolutions have become one have none.

    Attributes:
        lambda_outlook: When it will be 1, in words, if somebody knows.
        has_loaded: Weights were loaded, from whatever file, so that lambda is that of theirs.
    """

    lambda_outlook = ""
    has_loaded = False

    def _add_lambda(self) -> None:
        self.register_buffer("act_lambda", torch.tensor(1.0))

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        # Here every way of loading comes by, that of a whole detector, too.
        self.has_loaded |= any(key.startswith(prefix) for key in state_dict)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    @property
    def has_lambda(self) -> bool:
        """Whether there is an A' in this form."""
        return "act_lambda" in self._buffers

    def read_lambda(self) -> float:
        """Read lambda; once in a forward pass, since on a GPU each reading waits for it."""
        return float(self.act_lambda) if self.has_lambda else 1.0

    def set_act_lambda(self, value: float) -> None:
        """Set lambda of the deep training, the slope of A' below zero.

        Args:
            value: From 0 (ReLU) to 1 (nothing between the two layers of a pair).

        Raises:
            UserError: A value outside, or a form that has no lambda.
        """
        name = type(self).__name__
        if not self.has_lambda:
            raise UserError(
                f"{name}: in this form a layer is one convolution and has no lambda; set it "
                "before fusing or merging"
            )
        if not 0 <= value <= 1:
            raise UserError(f"{name}: lambda {value!r} but expected a number from 0 to 1")
        self.act_lambda.fill_(value)

    def check_lambda(self) -> None:
        """Refuse to fuse two layers with something non-linear between them.

        Raises:
            UserError: Lambda is not 1.
        """
        if self.read_lambda() != 1:
            raise UserError(
                f"{type(self).__name__}: {self.lambda_in_words()}; two layers are one only at "
                "lambda 1, so fuse after the deep training has ended, and evaluate unfused until "
                "then (tools/test.py --no-deploy)"
            )

    def lambda_in_words(self) -> str:
        """Say what lambda is and, if that is known, when it will be 1."""
        outlook = f", and {self.lambda_outlook}" if self.lambda_outlook else ""
        return f"lambda is {self.read_lambda():g}{outlook}"


def set_act_lambda(model: nn.Module, value: float) -> int:
    """Set lambda of the deep training in everything in a model that has one.

    Args:
        model: The model, or a part of it.
        value: From 0 to 1.

    Returns:
        How many modules have one; merged and deployed ones have none.

    Raises:
        UserError: A value outside.
    """
    modules = [m for m in model.modules() if isinstance(m, HasLambda) and m.has_lambda]
    for module in modules:
        module.set_act_lambda(value)
    return len(modules)
