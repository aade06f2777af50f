"""Recognition of GResNet's state dicts, and checks that they fit a network."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from torch import Tensor

from ...checkpoints.match import LEAST_MATCH
from ...errors import UserError
from .base import check_pixels, match_shapes

_FORMS = {
    "deployed": "the weights are of the deployed form, which can't be converted back; set "
    "deploy=True in the backbone to evaluate them (--cfg-options model.backbone.deploy=True), and "
    "train from a training checkpoint",
    "training": "the weights are of the training form, but deploy=True builds the deployed form; "
    "remove deploy, because evaluation fuses the network automatically",
}


@dataclass(frozen=True)
class GResNetDescription:
    """The network that a state dict belongs to.

    Attributes:
        kind: Name of the network's class.
        is_known: Whether the tensors show everything that the network computes.
        form: `training` or `deployed`.
        depth: 50 or 101; None without the third stage.
        width: As in `GResNetwork`.
        in_channels: Channels of the image.
        stages: Number of stages.
        num_classes: Number of classes, or None without a classification head.
    """

    kind = "GResNet"
    is_known = True
    form: str
    depth: Optional[int]
    width: int
    in_channels: int
    stages: int
    num_classes: Optional[int]

    @property
    def arguments(self) -> dict[str, Any]:
        """Type and arguments of a backbone that the weights fit."""
        return dict(
            type="GResNet",
            depth=self.depth or 50,
            width=self.width,
            in_channels=self.in_channels,
        )

    def __str__(self) -> str:
        """Return depth and width for error messages."""
        depth = "" if self.depth is None else f"-{self.depth}"
        return f"GResNet{depth}, width {self.width}"


def describe_gresnet(state: Mapping[str, Tensor]) -> Optional[GResNetDescription]:
    """Recognise the network of a state dict; None if it has no stem of a GResNet.

    Args:
        state: Tensors by their names in the network.
    """
    kernels = [state.get(f"stem.{index}.conv.weight") for index in (0, 1)]
    if any(kernel is None or kernel.ndim != 4 for kernel in kernels):
        return None
    blocks = {m.groups() for name in state if (m := re.match(r"stages\.(\d+)\.(\d+)\.", name))}
    logits = state.get("cls.2.weight")
    return GResNetDescription(
        form="training" if any(name.endswith(".scale") for name in state) else "deployed",
        depth={6: 50, 23: 101}.get(sum(stage == "2" for stage, _ in blocks)),
        width=len(kernels[1]),
        in_channels=kernels[0].shape[1],
        stages=len({stage for stage, _ in blocks}),
        num_classes=None if logits is None else len(logits),
    )


class GResNetWeights:
    """Weight loading of a GResNetwork (protocols `ChecksWeights` and `KnowsForms`)."""

    @classmethod
    def form_arguments(cls, state: Mapping[str, Tensor]) -> dict:
        """Return the argument `deploy` that builds the form of these weights."""
        found = describe_gresnet(state)
        return {} if found is None else dict(deploy=found.form == "deployed")

    def adapt_state_dict(self, state: Mapping[str, Tensor], arch_name: str = "") -> dict:
        """Check a backbone's weights.

        Args:
            state: Tensors by their names.
            arch_name: Ignored, since the tensors show the depth.

        Raises:
            UserError: As for `check_state_dict`.
        """
        self.check_state_dict(state, arch_name)
        return dict(state)

    def check_state_dict(self, state: Mapping[str, Tensor], arch_name: str = "") -> None:
        """Raise an error if weights don't belong to this network.

        Args:
            state: Tensors by their names in the network.
            arch_name: Ignored, since the tensors show the depth.

        Raises:
            UserError: The weights have a different form, depth, width or shape, or contain less
                than 90 % of the network's tensors.
        """
        expected = self.state_dict()
        check_pixels(expected, state)
        found, own = describe_gresnet(state), "deployed" if self.deploy else "training"
        if found is not None and found.form != own:
            raise UserError(_FORMS[found.form])
        if found is not None and (
            found.width != self.width or found.depth not in (None, self.depth)
        ):
            raise UserError(
                f"the weights are of {found}, but the network is GResNet-{self.depth}, width "
                f"{self.width}; set depth and width to match the weights"
            )
        match = match_shapes(state, expected)
        if not match.is_enough:
            raise UserError(
                f"{match}, of a GResNet; expected at least {LEAST_MATCH:.0%}. Does the checkpoint "
                f"belong to GResNet-{self.depth}? To load a backbone alone, set the backbone's "
                "init_cfg=dict(type='Pretrained', checkpoint=FILE)"
            )

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        own = {k[len(prefix) :]: v for k, v in state_dict.items() if k.startswith(prefix)}
        self.check_state_dict({k: v for k, v in own.items() if isinstance(v, Tensor)})
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
