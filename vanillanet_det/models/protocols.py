"""Protocols through which the rest of this package supports any network.

A network implements a protocol by having its methods; it doesn't need a base class. The method
`switch_to_deploy()` is sufficient for `SwitchToDeployHook`, `load_detector`, export, benchmark and
FLOPs; the other protocols enable further features. VanillaNet, GResNet, `SplitNormConv2d`,
`DeepPair` and `SeriesActivation` implement them.

Optional attributes are `deploy` (whether a module is in its deployed form), and `in_channels`,
`out_channels` and `out_strides` of a backbone.

To add a backbone, put its file into `backbones/`, register it in MMDetection's `MODELS`, and import
it in `vanillanet_det/__init__.py`. To have it recognised by its weights alone, add it to
`backbones/recognition.py`.
"""

from collections.abc import Mapping
from typing import Callable, Optional, Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class Deployable(Protocol):
    """A module with a deployed form. Used by everything that fuses networks."""

    def switch_to_deploy(self) -> Optional[nn.Module]:
        """Convert this module and its submodules to the deployed form, in place.

        The deployed form computes the same as the module in evaluation. A second call does
        nothing.

        Returns:
            A module that replaces this module, or None to keep this module.

        Raises:
            UserError: The module can't be fused at present, and is unchanged; the message states
                the reason.
        """


@runtime_checkable
class Refusing(Protocol):
    """A deployable module that can't be fused at certain points of training."""

    def deploy_refusal(self) -> str:
        """Return the reason why the module can't be fused at present; '' if it can.

        If there is a reason, validation during training uses the unfused module.
        """


@runtime_checkable
class HasLambda(Protocol):
    """A module with the lambda of deep training. Used by `DeepTrainingHook`."""

    has_lambda: bool
    """Whether the current form has a lambda; fused forms have none."""
    has_loaded: bool
    """Whether weights were loaded into the module."""
    lambda_schedule: str
    """When lambda reaches 1, as text for messages; '' if unknown."""

    def read_lambda(self) -> float:
        """Return lambda; 1 for a form without lambda."""

    def set_act_lambda(self, value: float) -> None:
        """Set lambda, from 0 to 1."""


@runtime_checkable
class ChecksWeights(Protocol):
    """A network that checks weights before they are loaded. Used by `checkpoints`."""

    def check_state_dict(self, state: Mapping[str, Tensor], arch_name: str = "") -> None:
        """Raise an error if weights don't belong to this network.

        Args:
            state: Tensors by their names in the network.
            arch_name: The arch in their file; '' if unknown.

        Raises:
            UserError: The weights don't fit; the message describes the weights and the network.
        """

    def adapt_state_dict(self, state: Mapping[str, Tensor], arch_name: str = "") -> dict:
        """Convert weights of another form, or with other names, to match this network.

        Args:
            state: Tensors by their names in the file.
            arch_name: As for `check_state_dict`.

        Returns:
            The checked tensors by their names in this network.

        Raises:
            UserError: As for `check_state_dict`.
        """


@runtime_checkable
class KnowsForms(Protocol):
    """A network class that recognises the form of weights. Used to build a checkpoint's network."""

    @classmethod
    def form_arguments(cls, state: Mapping[str, Tensor]) -> dict:
        """Return the constructor arguments that build the form of these weights.

        Args:
            state: Tensors by their names in the network.

        Returns:
            The arguments, such as `dict(deploy=True, merged=False)`; {} for weights of another
            network.
        """


@runtime_checkable
class FoldsNormalization(Protocol):
    """A deployed network whose first layer can include the normalisation of images."""

    def fold_normalization(self, mean: Tensor, std: Tensor, flip: bool) -> bool:
        """Make the first layer accept raw pixels instead of normalised images, in place.

        Args:
            mean: Mean of each channel, in the order of the normalised image, float64.
            std: Standard deviation of each channel, in the same order, float64.
            flip: Whether the pixels have their channels in the opposite order.

        Returns:
            Whether the normalisation was folded.
        """


@runtime_checkable
class HasLayers(Protocol):
    """A network whose forms are compared layer by layer. Used by `convert-checkpoint`."""

    def named_layers(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """Return the layers in order; each one computes the input of the next one.

        All forms of a network have layers with the same names.
        """


@runtime_checkable
class HasLayerIds(Protocol):
    """A backbone with the layer ids of its training recipe. Used by `LayerDecay`."""

    def layer_ids(self, num_layers: int) -> dict[str, int]:
        """Return the layer id of each parameter, from 0 for the stem to `num_layers`.

        A head that is part of the network has `num_layers + 1`.
        """
