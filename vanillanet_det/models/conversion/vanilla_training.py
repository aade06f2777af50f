"""VanillaNet's deep training and series activation for any other network."""

import copy
from collections.abc import Iterator
from typing import Any, Optional

import torch
from torch import fx, nn

from ...errors import UserError
from ..layers.series_activation import Series
from .deep_pair import DeepPair, is_pair
from .graph import ModelGraph

_DROPOUTS = (nn.Dropout, nn.Dropout2d)
_Chain = tuple[list[fx.Node], DeepPair]


def add_vanilla_training(
    model: nn.Module,
    example_input: Any,
    act_num: int = 3,
    deep: Optional[str] = "all",
    series: bool = True,
    act_base: str = "relu",
    act_neighbours: bool = True,
) -> nn.Module:
    """Apply VanillaNet's deep training and series activation to any network.

    The result is a copy to be trained; `switch_to_deploy` converts it exactly to its deployed
    form. `deep="all"` inserts a 1x1 convolution or linear layer after every convolution and
    linear layer that feeds a ReLU, as in the paper; the deployed network has the layers and
    ReLUs of the original. `deep="pairs"` uses existing pairs (map, ReLU, 1x1 convolution or
    linear layer); the deployed network loses a layer and a ReLU for each pair. It is not the
    default, because it makes the network shallower. A network without such layers gets only
    series activations; `set_act_lambda` returns the number of pairs.

    Parameters keep their values. An inserted map starts as the identity, and its BatchNorm starts
    with the statistics of its input. With `series=False`, the network therefore initially computes
    the same in evaluation as the original: at any lambda with `deep="all"`, and at lambda 0 with
    `deep="pairs"`. A series activation starts from random kernels and has to be trained.

    Each call of a ReLU on a feature `(N, C, H, W)` gets its own series activation. The
    following remain unchanged: ReLUs on other shapes or after a linear layer, which have no
    neighbourhood; other activations; modules that torch.fx can't trace; and, in deep training,
    grouped convolutions and layers that are called twice or have forward hooks. The result is a
    graph module without the model's methods and without the modules that its forward never calls.

    Args:
        model: A network that torch.fx can trace, in training or evaluation mode.
        example_input: Input of the network's forward: a tensor or a tuple of arguments. Any valid
            size works, because only the numbers of channels and dimensions are used.
        act_num: `n` of the series activation, whose kernel size is `2 n + 1`.
        deep: 'all', 'pairs', or None for no deep training.
        series: Whether to replace ReLUs with series activations.
        act_base: Activation in the series activation: 'relu', 'tanh', 'silu' or 'gelu'.
        act_neighbours: Sum over neighbours; or over `act_num` shifts of each pixel alone.

    Returns:
        The network to be trained. Modules that were not replaced keep their names.

    Raises:
        UserError: An argument is invalid, torch.fx can't trace the network, the example doesn't fit
            the network, or the network has nothing to change.

    Example:
        >>> model = add_vanilla_training(torchvision.models.alexnet(), torch.rand(1, 3, 224, 224))
        >>> set_act_lambda(model, 0)  # and up to 1 while it is trained
        7
    """
    if deep not in ("all", "pairs", None):
        raise UserError(
            f"add_vanilla_training: deep {deep!r}; expected 'all' (deepen layers), 'pairs' "
            "(join layers) or None"
        )
    kind = Series(act_num, act_base, act_neighbours)
    graph = ModelGraph(copy.deepcopy(model), example_input, "add_vanilla_training")
    relus = list(filter(graph.is_relu, graph.nodes))
    if not relus:
        raise UserError(
            f"add_vanilla_training: no ReLU found in {type(model).__name__}; expected at "
            "least one (nn.ReLU, F.relu, torch.relu, Tensor.relu), because series activation and "
            "deep training replace ReLUs"
        )
    finders = {"all": _deepened_layers, "pairs": _existing_pairs, None: lambda graph: iter(())}
    chains = list(finders[deep](graph))
    in_chain = {node for chain, _ in chains for node in chain}
    images = [node for node in relus if series and node not in in_chain and _is_image(graph, node)]
    if not chains and not images:
        raise UserError(
            f"add_vanilla_training: nothing to change in {type(model).__name__} with "
            f"series={series} and deep={deep!r}; a series activation replaces a ReLU on "
            "a feature (N, C, H, W), 'all' needs a convolution or linear layer before a "
            "ReLU, and 'pairs' needs another one after it"
        )
    for node in images:
        shape, kwargs = graph.result(node)
        activation = kind.build(shape[1])
        graph.replace_relu(node, activation.to(**kwargs).train(model.training))
    for chain, pair in chains:
        graph.replace_chain(chain, pair)
    return graph.finish()


def _is_image(graph: ModelGraph, relu: fx.Node) -> bool:
    behind_linear = graph.called(relu.all_input_nodes[0], nn.Linear)  # channels are last
    return len(graph.result(relu)[0]) == 4 and behind_linear is None


def _existing_pairs(graph: ModelGraph) -> Iterator[_Chain]:
    """Find chains of map, BatchNorm, ReLU, dropout, map and BatchNorm that don't overlap."""
    taken = set()
    for node in graph.nodes:
        first = [] if node in taken else graph.layer(node)
        relu = graph.only_user(first[-1]) if first else None
        if not graph.is_relu(relu):
            continue
        after = graph.only_user(relu)
        dropout = graph.called(after, *_DROPOUTS)
        second = graph.layer(graph.only_user(after) if dropout else after)
        if second:
            layers = graph.modules(first), graph.modules(second)
            if is_pair(layers[0][0], layers[1][0]):
                taken.update(second)
                chain = [*first, relu, *([after] if dropout else []), *second]
                yield chain, DeepPair(*layers, copy.deepcopy(dropout))


def _deepened_layers(graph: ModelGraph) -> Iterator[_Chain]:
    """Turn every map that feeds a ReLU into a pair."""
    for node in graph.nodes:
        nodes = graph.layer(node)
        if nodes and any(map(graph.is_relu, nodes[-1].users)):
            first = graph.modules(nodes)
            second = [_identity(first[0]), *map(_norm_behind, first[1:])]
            if is_pair(first[0], second[0]):
                yield nodes, DeepPair(first, second)


def _identity(layer: nn.Module) -> nn.Module:
    """Build the identity over a layer's outputs, as a pointwise map of the same type."""
    channels = layer.weight.shape[0]
    kernel = (1,) if isinstance(layer, nn.Conv2d) else ()
    weight = layer.weight
    new = nn.utils.skip_init(
        type(layer), channels, channels, *kernel, device=weight.device, dtype=weight.dtype
    )
    with torch.no_grad():
        new.weight.copy_(torch.eye(channels).view_as(new.weight))
        new.bias.zero_()
    return new.train(layer.training)


def _norm_behind(norm: nn.Module) -> nn.Module:
    """Build a BatchNorm that leaves the outputs of another BatchNorm unchanged at lambda 1."""
    new = copy.deepcopy(norm)
    if norm.running_mean is None:
        return new
    with torch.no_grad():
        if norm.weight is None:
            new.running_mean.zero_()
            new.running_var.fill_(1 - norm.eps)
        else:  # outputs of `norm` have the mean `bias` and the standard deviation `weight`
            new.running_mean.copy_(norm.bias)
            new.running_var.copy_(norm.weight.square())
            new.weight.copy_((norm.weight.square() + norm.eps).sqrt())
    return new
