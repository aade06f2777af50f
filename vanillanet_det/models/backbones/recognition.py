"""Recognition of this project's networks in state dicts.

A new backbone has to be added here to be converted, evaluated or fine-tuned from its weights alone.
"""

from collections.abc import Mapping
from typing import Any, Optional, Union

from torch import Tensor

from .base import Backbone
from .classifier import ClassifierNetwork
from .gresnet import GResNetwork
from .gresnet_classifier import GResNetClassifierNetwork
from .gresnet_state_dict import GResNetDescription, describe_gresnet
from .state_dict import Description, describe
from .vanillanet import VanillaNetwork

NetworkDescription = Union[Description, GResNetDescription]


def recognise(state: Mapping[str, Tensor]) -> Optional[NetworkDescription]:
    """Recognise the network of a state dict; None if it is of another one.

    Args:
        state: Tensors by their names in the network.
    """
    return describe(state) or describe_gresnet(state)


def build_network(found: NetworkDescription, arch_name: str = "") -> Backbone:
    """Build the network that a state dict belongs to, with random weights.

    Args:
        found: What `recognise` returned.
        arch_name: The arch in the file; '' if unknown.

    Returns:
        A backbone whose only output is its last feature, or a classifier.
    """
    deploy = found.form == "deployed"
    if isinstance(found, GResNetDescription):
        kwargs: dict[str, Any] = dict(
            depth=found.depth or 50, in_channels=found.in_channels, width=found.width, deploy=deploy
        )
        if found.num_classes is None:
            return GResNetwork(**kwargs, out_indices=(found.stages - 1,))
        return GResNetClassifierNetwork(**kwargs, num_classes=found.num_classes)
    kwargs = dict(
        arch=_arch(found, arch_name),
        in_channels=found.in_channels,
        **found.series.arguments,
        deploy=deploy,
        merged=found.form == "merged",
    )
    if found.num_classes is None:
        return VanillaNetwork(**kwargs, out_indices=(len(found.dims) - 1,))
    return ClassifierNetwork(**kwargs, num_classes=found.num_classes)


def _arch(found: Description, arch_name: str) -> Union[str, dict]:
    if found.archs:
        return arch_name if arch_name in found.archs else found.archs[0]
    # Strides change no tensor.
    return dict(dims=found.dims, strides=[1] * (len(found.dims) - 1))
