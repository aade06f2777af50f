"""GResNet's split normalisation for any other network."""

import copy
from typing import Any

import torch
from torch import fx, nn

from ...errors import UserError
from ..layers.fusion import bn_scale_shift
from ..layers.split_norm import SplitNormConv2d
from .graph import ModelGraph


def add_split_normalization(model: nn.Module, example_input: Any) -> nn.Module:
    """Replace each convolution and the BatchNorm behind it with a `SplitNormConv2d`.

    The result is a copy to be trained; `switch_to_deploy` folds it exactly. Kernels keep their
    values. The new BatchNorm in front of the convolution starts with mean 0 and variance 1; the
    scale and shift start as those of the BatchNorm behind it. In evaluation, the network initially
    computes the same as the original.

    The following remain unchanged: convolutions without a BatchNorm behind them, or with one that
    has no running statistics; BatchNorms behind anything else; subclasses of both, such as timm's;
    layers that are called twice or have forward hooks; and modules that torch.fx can't trace.
    Frozen layers remain frozen.
    The result is a graph module without the model's methods and without the modules that its
    forward never calls.

    Args:
        model: A network that torch.fx can trace, in training or evaluation mode.
        example_input: Input of the network's forward: a tensor or a tuple of arguments, of any
            valid size.

    Returns:
        The network to be trained. A `SplitNormConv2d` has the name of its convolution.

    Raises:
        UserError: torch.fx can't trace the network, the example doesn't fit it, or the network has
            no convolution with a BatchNorm behind it.

    Example:
        >>> model = add_split_normalization(torchvision.models.resnet50(), torch.rand(1, 3, 64, 64))
    """
    graph = ModelGraph(copy.deepcopy(model), example_input, "add_split_normalization")
    layers = [nodes for nodes in map(graph.layer, graph.nodes) if _can_split(graph, nodes)]
    if not layers:
        raise UserError(
            f"add_split_normalization: nothing to change in {type(model).__name__}; expected a "
            "convolution with a BatchNorm behind it that has running statistics"
        )
    for nodes in layers:
        graph.replace_chain(nodes, _split(*graph.modules(nodes)))
    return graph.finish()


def _can_split(graph: ModelGraph, layer: list[fx.Node]) -> bool:
    if len(layer) < 2 or not graph.called(layer[0], nn.Conv2d):
        return False
    return graph.modules(layer)[1].running_mean is not None


@torch.no_grad()
def _split(conv: nn.Conv2d, norm: nn.Module) -> SplitNormConv2d:
    """Build the split form of a convolution and its BatchNorm; it takes over the kernel."""
    bias = conv.bias
    kwargs = dict(eps=norm.eps, momentum=norm.momentum, affine=False)
    if isinstance(norm, nn.SyncBatchNorm):
        kwargs["process_group"] = norm.process_group
    split = SplitNormConv2d(conv, lambda channels: type(norm)(channels, **kwargs))
    split.norm.running_var -= norm.eps  # of 1: features are divided by exactly 1
    scale, shift = bn_scale_shift(norm)
    split.scale.copy_(scale)
    split.shift.copy_(shift if bias is None else shift + scale * bias)
    if norm.affine:
        split.scale.requires_grad_(norm.weight.requires_grad)
        split.shift.requires_grad_(norm.bias.requires_grad)
    return split.train(norm.training)
