"""Recognition of VanillaNet's state dicts, and checks that they fit a network."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

import torch
from torch import Tensor, nn

from ...checkpoints.match import LEAST_MATCH, Match
from ...errors import UserError
from ...installation import command
from ..layers.activation import marked_activation
from ..layers.series_activation import Series
from .archs import ARCHS, Arch
from .base import check_pixels, match_shapes

SERIES = ("act_num", "act_base", "act_neighbours")
ARGUMENTS = ("arch", "in_channels", *SERIES, "ada_pool", "stem_stride", "stem_padding")
"""Arguments that decide which weights belong to a network."""
_CONVERT = command("convert-checkpoint")
_DEPLOYED_FOUND = (
    "the weights are of the deployed form (one convolution per layer, no BatchNorm), which can't "
    "be converted back; set deploy=True in the backbone to evaluate them "
    "(--cfg-options model.backbone.deploy=True), and train from a training checkpoint"
)
_DEPLOYED_WANTED = (
    "the weights are of the {} form, but deploy=True builds the deployed form; remove deploy, "
    "because evaluation fuses the network automatically, or fuse the file: "
    f"{_CONVERT} FILE FUSED_FILE --deploy"
)
# Keys: form of the weights, form of the network.
_OTHER_FORM = {
    ("deployed", "training"): _DEPLOYED_FOUND,
    ("deployed", "merged"): _DEPLOYED_FOUND,
    ("training", "deployed"): _DEPLOYED_WANTED.format("training"),
    ("merged", "deployed"): _DEPLOYED_WANTED.format("merged"),
    ("merged", "training"): "the weights are of the merged form (one convolution per layer, "
    "with its last BN), which can't be converted back; set merged=True in the backbone "
    "(--cfg-options model.backbone.merged=True)",
    ("training", "merged"): "the weights are of the training form, but merged=True builds the "
    "merged form; load them through the backbone's init_cfg, which merges them, or "
    f"merge the file: {_CONVERT} FILE MERGED_FILE --merge",
}

# For each form, the names of the first and last convolution of the stem, its series activation, the
# last convolution of a stage, and the last convolution of the head.
_NAMES = {
    "deployed": ("stem.0", "stem.0", "stem.1", "conv", "cls.2"),
    "merged": ("stem.0.0", "stem.0.0", "stem.1", "conv.0", "cls.2"),
    "training": ("stem1.0", "stem2.0", "stem2.2", "conv2.0", "cls2.0"),
}


@dataclass(frozen=True)
class Description:
    """The network that a state dict belongs to.

    A state dict doesn't show strides or pooling, nor stages after the last returned feature.

    Attributes:
        form: `training`, `merged` or `deployed`.
        dims: Channels of the stem and of each stage in the state dict.
        series: Kind of the series activations.
        in_channels: Channels of the image.
        num_classes: Number of classes, or None without a classification head.
    """

    kind = "VanillaNet"
    form: str
    dims: tuple[int, ...]
    series: Series
    in_channels: int
    num_classes: Optional[int]

    @property
    def archs(self) -> tuple[str, ...]:
        """Names of the published archs with these channels."""
        return tuple(name for name, arch in ARCHS.items() if arch.dims == self.dims)

    @property
    def is_known(self) -> bool:
        """Whether strides and pooling are known, which the tensors don't show."""
        return bool(self.archs)

    def __str__(self) -> str:
        """Return the arch and the series for error messages."""
        return f"{_name(self.dims)}, {self.series}"


def _name(dims: tuple[int, ...]) -> str:
    names = [repr(name) for name, arch in ARCHS.items() if arch.dims == dims]
    return f"arch {' or '.join(names)}" if names else f"an arch with dims {list(dims)}"


def describe(state: Mapping[str, Tensor]) -> Optional[Description]:
    """Recognise the network of a state dict.

    Args:
        state: Tensors by their names in the network.

    Returns:
        The description; None if the state dict has no VanillaNet stem.
    """
    form = next((form for form in _NAMES if _has_stem(state, form)), None)
    if form is None:
        return None
    names = [f"{name}.weight" for name in _NAMES[form][:3]]
    conv, head = _NAMES[form][3:]
    dims = [len(state[names[1]])]
    while (name := f"stages.{len(dims) - 1}.{conv}.weight") in state:
        dims.append(len(state[name]))
    logits = state.get(f"{head}.weight")
    return Description(
        form=form,
        dims=tuple(dims),
        series=_series(state, _NAMES[form][2]),
        in_channels=state[names[0]].shape[1],
        num_classes=None if logits is None else len(logits),
    )


def _series(state: Mapping[str, Tensor], name: str) -> Series:
    """Recognise the kind of a series activation from its tensors."""
    shape, neighbours = state[f"{name}.weight"].shape, f"{name}.shift" not in state
    act_num = shape[-1] // 2 if neighbours else shape[1]
    return Series(act_num, marked_activation(state, name), neighbours)


def _has_stem(state: Mapping[str, Tensor], form: str) -> bool:
    names = [f"{name}.weight" for name in _NAMES[form][:3]]
    return all(name in state and state[name].ndim == 4 for name in names)


def check_fit(network: nn.Module, state: Mapping[str, Tensor], arch_name: str = "") -> None:
    """Raise an error if weights don't belong to a network, before any of them is loaded.

    Args:
        network: A VanillaNet; it is not changed.
        state: Tensors by their names in the network.
        arch_name: The arch in the file. It is needed because two archs differ only in strides and
            pooling, which the tensors don't show.

    Raises:
        UserError: The weights have a different form, arch, series or shape, or contain less than
            90 % of the network's tensors.
    """
    arch: Arch = network.arch
    check_pixels(network.state_dict(), state)
    if "shortcuts" in state and "shortcuts" not in network.state_dict():
        raise UserError("the weights are of a network with shortcuts, which VanillaNet lacks")
    found = describe(state)
    if found is not None and found.form != network.form:
        raise UserError(_OTHER_FORM[found.form, network.form])
    if found is not None:
        built = len(network.stages) + 1
        same_dims = len(found.dims) >= built and found.dims == arch.dims[: len(found.dims)]
        given, own = found.series.arguments, network.series.arguments
        differing = [name for name in own if own[name] != given[name]]
        if differing or not same_dims:
            options = " and ".join([*([] if same_dims else ["arch"]), *differing])
            raise UserError(
                f"the weights are of {found}, but the network is {_name(arch.dims)}, "
                f"{network.series}; set {options} to match the weights"
            )
    # If the network's stem or pooling differs from its arch, this is intended.
    if arch_name in ARCHS and arch_name != arch.name and arch == ARCHS.get(arch.name):
        raise UserError(
            f"the weights were trained as arch {arch_name!r}, but the network is arch "
            f"{arch.name!r}, which pools differently; set arch={arch_name!r}"
        )
    expected = network.state_dict()
    match = match_shapes(state, expected)
    if not match.is_enough:
        raise UserError(
            f"{match}, of a VanillaNet; expected at least {LEAST_MATCH:.0%}. Does the checkpoint "
            f"belong to the network, {_name(arch.dims)}? To load a backbone alone, set the "
            "backbone's init_cfg=dict(type='Pretrained', checkpoint=FILE); to load a head alone, "
            "call its load_state_dict"
        )


def merged_state_dict(network: nn.Module, state: Mapping[str, Tensor], arch_name: str) -> dict:
    """Convert weights of the training form to the merged form.

    Args:
        network: A VanillaNet in its training form; it is merged in the process.
        state: Tensors by their names in the training form.
        arch_name: The arch in the file of the weights.

    Returns:
        Tensors by their names in the merged form.

    Raises:
        UserError: As for `check_fit`; also if a tensor is missing or lambda is below 1.
    """
    check_fit(network, state, arch_name)
    match = Match.of(state, network.state_dict())
    if not match.is_complete:
        raise UserError(f"{match}; merging needs every tensor of {describe(state)}")
    network.load_state_dict({key: state[key] for key in match.matched}, strict=False)
    network.switch_to_merged()
    return network.state_dict()


class PublishedWeights:
    """Weight loading of a VanillaNetwork (protocols `ChecksWeights` and `KnowsForms`)."""

    @classmethod
    def form_arguments(cls, state: Mapping[str, Tensor]) -> dict:
        """Return the arguments `deploy` and `merged` that build the form of these weights."""
        found = describe(state)
        if found is None:
            return {}
        return dict(deploy=found.form == "deployed", merged=found.form == "merged")

    def adapt_state_dict(self, state: Mapping[str, Tensor], arch_name: str = "") -> dict:
        """Check a backbone's weights, and merge weights of the training form for a merged network.

        Args:
            state: Tensors by their names.
            arch_name: The arch in their file; '' if unknown.

        Returns:
            Tensors in this network's form.

        Raises:
            UserError: As for `check_state_dict`; also if lambda of the weights is below 1.
        """
        found = describe(state)
        if self.form == "merged" and found is not None and found.form == "training":
            return merged_state_dict(self._training_form(), state, arch_name)
        self.check_state_dict(state, arch_name)
        return dict(state)

    def check_state_dict(self, state: Mapping[str, Tensor], arch_name: str = "") -> None:
        """Raise an error if weights don't belong to this network; see `check_fit`."""
        check_fit(self, state, arch_name)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        # All loading calls this method, including MMEngine's non-strict loading, which would leave
        # mismatched tensors random.
        own = {k[len(prefix) :]: v for k, v in state_dict.items() if k.startswith(prefix)}
        self.check_state_dict({k: v for k, v in own.items() if isinstance(v, Tensor)})
        # Published checkpoints contain no lambda, because it had reached 1.
        if own and self.has_lambda:
            state_dict.setdefault(f"{prefix}act_lambda", torch.ones_like(self.act_lambda))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
