"""Deep training of one layer: two linear maps with a vanishing non-linearity between them."""

import copy
from collections.abc import Sequence
from typing import Optional

from torch import Tensor, nn

from ...errors import UserError
from ..layers.act_lambda import LambdaMixin
from ..layers.activation import deep_activation
from ..layers.fusion import WeightBias, fuse_conv_bn, fuse_pointwise, round_fused


def _is_pointwise(layer: nn.Module) -> bool:
    return type(layer) is nn.Linear or (
        type(layer) is nn.Conv2d and layer.kernel_size == (1, 1) and layer.groups == 1
    )


def is_pair(first: nn.Module, second: nn.Module) -> bool:
    """Return whether two modules can be fused into one linear map at lambda 1.

    Args:
        first: Any module.
        second: The module after it.

    Returns:
        True for a convolution and a 1x1 convolution of stride 1, and for two linear layers.
    """
    if type(first) is not type(second) or not _is_pointwise(second):
        return False
    if first.weight.shape[0] != second.weight.shape[1]:
        return False
    if isinstance(first, nn.Linear):
        return True
    # A grouped convolution, fused into a dense kernel, would cost more than both maps.
    return (
        first.groups == 1
        and second.stride == (1, 1)
        and second.padding in ((0, 0), "same", "valid")
    )


def _kernel(layer: Sequence[nn.Module]) -> WeightBias:
    """Return the kernel and bias of a map, with its BatchNorm if any, as one convolution."""
    (conv, *norms), bias = layer, layer[0].bias
    weight = conv.weight.detach().double()
    weight = weight if weight.dim() == 4 else weight[:, :, None, None]
    for norm in norms:
        weight, bias = fuse_conv_bn(weight, bias, norm)
    if bias is None:
        bias = weight.new_zeros(weight.shape[0])
    return weight, bias.detach().double()


class DeepPair(LambdaMixin, nn.Module):
    """Two maps with A'(x) = (1 - lambda) ReLU(x) + lambda x between them.

    As in VanillaNet, lambda starts at 1, where the two maps are one linear map; training from
    scratch sets lambda to 0 and raises it. The deployed form is one map with the stride, padding
    and dilation of the first map.

    Args:
        first: A convolution of any kernel size, or a linear layer; then its BatchNorm, if any.
        second: A 1x1 convolution of stride 1, or a linear layer; then its BatchNorm, if any.
        dropout: The dropout between the two maps, used in training.

    Attributes:
        act_lambda: The slope of A' below zero, a buffer.

    Raises:
        UserError: The two maps can't be fused, or are grouped convolutions.
    """

    def __init__(
        self,
        first: Sequence[nn.Module],
        second: Sequence[nn.Module],
        dropout: Optional[nn.Module] = None,
    ) -> None:
        super().__init__()
        if not is_pair(first[0], second[0]):
            raise UserError(
                f"DeepPair: {first[0]} and {second[0]}; expected a convolution and a 1x1 "
                "convolution of stride 1 over its channels, neither of them grouped, or two "
                "linear layers"
            )
        self.first = nn.Sequential(*first)
        self.second = nn.Sequential(*second)
        self.dropout = dropout or nn.Identity()
        self._add_lambda()
        self.act_lambda = self.act_lambda.to(first[0].weight.device)

    @property
    def deploy(self) -> bool:
        """Whether this is the deployed form."""
        return hasattr(self, "fused")

    def forward(self, x: Tensor) -> Tensor:
        """Apply both maps to a tensor of shape `(N, in, H, W)` or `(..., in)`."""
        if self.deploy:
            return self.fused(x)
        x = deep_activation(self.first(x), self.read_lambda())
        return self.second(self.dropout(x))

    def switch_to_deploy(self) -> nn.Module:
        """Fuse the two maps into one, in place; a second call does nothing.

        Returns:
            The fused map, which replaces this module.

        Raises:
            UserError: Lambda is below 1, so the two aren't one linear map; a BatchNorm has no
                running statistics; or fused values exceed the precision. The module is then
                unchanged.
        """
        if self.deploy:
            return self.fused
        self.check_lambda()
        like = self.first[0]
        weight, bias = (
            round_fused(value, like.weight.dtype, f"DeepPair of {like}")
            for value in fuse_pointwise(_kernel(self.first), _kernel(self.second))
        )
        # Copy the layer to keep its dilation and padding mode.
        fused = copy.deepcopy(like)
        fused.weight = nn.Parameter(weight.view(-1, *like.weight.shape[1:]))
        fused.bias = nn.Parameter(bias)
        setattr(fused, "out_features" if isinstance(like, nn.Linear) else "out_channels", len(bias))
        self.fused = fused
        del self.first, self.second, self.dropout, self.act_lambda
        return fused
