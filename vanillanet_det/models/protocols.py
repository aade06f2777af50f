"""What a network offers, so that the rest of this package serves it without knowing its class.

A network takes part by having methods, not by deriving from a class. `switch_to_deploy()` alone is
enough for `SwitchToDeployHook`, `load_detector`, export, benchmark and FLOPs; each further protocol
adds what its methods say. VanillaNet, `DeepPair` and `SeriesActivation` implement them.

Attributes that are read where they exist: `deploy` (whether a module is in its deployed form),
`in_channels`, `out_channels` and `out_strides` of a backbone.
"""

from collections.abc import Mapping
from typing import Optional, Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class Deployable(Protocol):
    """A module with a deployed form. Needed by everything that fuses."""

    def switch_to_deploy(self) -> Optional[nn.Module]:
        """Bring this module and all below it into the deployed form, in place.

        The deployed form computes in evaluation what the module computed. A second call does
        nothing.

        Returns:
            A module that takes the place of this one, or None to keep it.

        Raises:
            UserError: It can't be fused now, and says why. It is then unchanged.
        """


@runtime_checkable
class Refusing(Protocol):
    """A deployable module that can't be fused at some times of its training."""

    def deploy_refusal(self) -> str:
        """Say why `switch_to_deploy` would refuse at present; '' if it would not.

        In validation during training the unfused module is then evaluated.
        """


@runtime_checkable
class HasLambda(Protocol):
    """A module with the deep training's lambda. Needed by `DeepTrainingHook`."""

    has_lambda: bool
    """Whether its present form has a lambda; fused forms have none."""
    has_loaded: bool
    """Whether weights were loaded into it."""
    lambda_schedule: str
    """When lambda reaches 1, as text for messages; '' if unknown."""

    def read_lambda(self) -> float:
        """Return lambda, 1 for a form that has none."""

    def set_act_lambda(self, value: float) -> None:
        """Set lambda, from 0 to 1."""


@runtime_checkable
class ChecksWeights(Protocol):
    """A network that judges weights before they are loaded. Needed by `checkpoints`."""

    def check_state_dict(self, state: Mapping[str, Tensor], arch_name: str = "") -> None:
        """Refuse weights that are not of this network.

        Args:
            state: Tensors by their names in the network.
            arch_name: The arch that their file names; '' if it names none.

        Raises:
            UserError: They don't fit; the message names both.
        """

    def adapt_state_dict(self, state: Mapping[str, Tensor], arch_name: str = "") -> dict:
        """Convert weights of another form or other names into this network's.

        Args:
            state: Tensors by their names in the file.
            arch_name: As for `check_state_dict`.

        Returns:
            Tensors by their names in this network, checked.

        Raises:
            UserError: As `check_state_dict`.
        """


@runtime_checkable
class KnowsForms(Protocol):
    """A class of networks that recognises the form of weights. Needed to build for a checkpoint."""

    @classmethod
    def form_arguments(cls, state: Mapping[str, Tensor]) -> dict:
        """Return the constructor's arguments that build the form of these weights.

        Args:
            state: Tensors by their names in the network.

        Returns:
            Such as `dict(deploy=True, merged=False)`; {} for weights of another network.
        """


@runtime_checkable
class FoldsNormalization(Protocol):
    """A deployed network whose first layer can take over the normalisation of images."""

    def fold_normalization(self, mean: Tensor, std: Tensor, flip: bool) -> bool:
        """Make the first layer take pixels instead of normalised images, in place.

        Args:
            mean: Mean of each channel, in the order of the normalised image, float64.
            std: Standard deviation of each channel, likewise.
            flip: Whether pixels come with their channels in the opposite order.

        Returns:
            Whether it was possible.
        """


@runtime_checkable
class HasLayerIds(Protocol):
    """A backbone with layer ids of its recipe. Needed by `LayerDecay`."""

    def layer_ids(self, num_layers: int) -> dict[str, int]:
        """Return the layer id of each parameter, 0 for the stem, at most `num_layers`."""
