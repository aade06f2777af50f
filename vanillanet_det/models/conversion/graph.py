"""A model's torch.fx graph, with the queries and edits that the conversion needs."""

import inspect
import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Optional

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from ...errors import UserError

_MAPS = (nn.Conv2d, nn.Linear)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)
_RELU_FUNCTIONS = {F.relu, torch.relu, torch.relu_}  # F.relu_ is torch.relu_


@contextmanager
def _mode(modules: list[nn.Module], training: bool) -> Iterator[None]:
    # train() is not used, because a network may override it to freeze or fuse layers.
    before = [module.training for module in modules]
    try:
        for module in modules:
            module.training = training
        yield
    finally:
        for module, mode in zip(modules, before):
            module.training = mode


class _Tracer(fx.Tracer):
    def __init__(self, opaque: frozenset[nn.Module] = frozenset()) -> None:
        super().__init__()
        self.opaque = opaque

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return module in self.opaque or super().is_leaf_module(module, name)


def _trace(model: nn.Module, opaque: frozenset[nn.Module] = frozenset()) -> Optional[fx.Graph]:
    """Trace a model's forward; return None if it differs between training and evaluation."""
    attributes = set(vars(model))
    with _mode(list(model.modules()), True):
        train = _Tracer(opaque).trace(model)
    for name in set(vars(model)) - attributes:
        delattr(model, name)  # traced constants, which would get other names in a second trace
    with _mode(list(model.modules()), False):
        evaluation = _Tracer(opaque).trace(model)
    return evaluation if str(evaluation) == str(train) else None


def _is_opaque(module: nn.Module) -> bool:
    """Return whether a module must remain a single call, because tracing would change it."""
    if hasattr(module, "switch_to_deploy") or isinstance(module, _BatchNorm):
        return True
    if type(module).__module__.startswith("torch.nn") or list(module.children()):
        return False  # always one call, or traced part by part
    try:  # for example stochastic depth: different in training, or not traceable
        return _trace(module) is None
    except Exception:  # its forward runs on proxies, which may raise almost any exception
        return True


class _Recorder(fx.Interpreter):
    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.results: dict[fx.Node, tuple[torch.Size, dict]] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, Tensor):
            self.results[n] = (result.shape, dict(device=result.device, dtype=result.dtype))
        return result


def _first_line(error: Exception) -> str:
    return next(filter(None, map(str.strip, str(error).split("\n"))), type(error).__name__)


def _says(value: Any) -> str:
    return f"of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)


class ModelGraph:
    """The graph of a model, with the shape of each result for an example input.

    Args:
        model: The model; the graph shares its modules.
        example_input: Input of the model's forward: a tensor, or a tuple of arguments.
        caller: Name of the public function, for messages.

    Attributes:
        module: The graph module, which computes the same as the model.

    Raises:
        UserError: torch.fx can't trace the model, or the example doesn't fit the model.
    """

    def __init__(self, model: nn.Module, example_input: Any, caller: str) -> None:
        kind = type(model).__name__
        if hasattr(model, "switch_to_deploy"):
            raise UserError(f"{caller}: {kind} already has a deployed form; train it directly")
        opaque = frozenset(filter(_is_opaque, model.modules()))
        try:
            graph = _trace(model, opaque)
        except Exception as error:  # the forward runs on proxies, which may raise anything
            raise UserError(
                f"{caller}: torch.fx can't trace {kind} ({_first_line(error)}); remove Python code "
                "that depends on a tensor's values or shape from its forward, or pass a part of "
                "the model without such code"
            ) from error
        if graph is None:
            raise UserError(
                f"{caller}: the forward of {kind} differs between training and evaluation, but a "
                "traced graph can represent only one of them; use nn.Dropout instead of "
                "F.dropout, and build the model without auxiliary heads"
            )
        self.module = fx.GraphModule(model, graph, kind)
        self._results = self._run(model, example_input, f"{caller}: example_input")
        self._skip_identities()
        self._calls = Counter(node.target for node in self.nodes if node.op == "call_module")
        for node in self.nodes:
            if node.op == "get_attr":  # a module's tensor is used outside of the module
                self._calls[node.target.rpartition(".")[0]] += 1

    def _run(self, model: nn.Module, example_input: Any, what: str) -> dict:
        inputs = example_input if isinstance(example_input, (tuple, list)) else (example_input,)
        recorder = _Recorder(self.module)
        try:
            inspect.signature(model.forward).bind(*inputs)
            with torch.no_grad(), _mode(list(self.module.modules()), False):
                # Clone the inputs, because a model may start with an in-place operation.
                recorder.run(*(x.clone() if isinstance(x, Tensor) else x for x in inputs))
        except Exception as error:  # whatever the model's operations raise
            raise UserError(
                f"{what} {', '.join(map(_says, inputs))} does not fit {type(model).__name__} "
                f"({_first_line(error)}); pass a valid input tensor on the model's device, or a "
                "tuple of the arguments of forward"
            ) from error
        return recorder.results

    def _skip_identities(self) -> None:
        for node in self.nodes:
            if self.called(node, nn.Identity) and len(node.all_input_nodes) == 1:
                node.replace_all_uses_with(node.all_input_nodes[0])
                self.module.graph.erase_node(node)

    @property
    def nodes(self) -> list[fx.Node]:
        """The nodes in the order of computation."""
        return list(self.module.graph.nodes)

    def called(self, node: Optional[fx.Node], *types: type) -> Optional[nn.Module]:
        """Return the module that a node calls if its type is one of `types` (no subclasses)."""
        if node is None or node.op != "call_module":
            return None
        module = self.module.get_submodule(node.target)
        return module if type(module) in types else None

    def modules(self, nodes: list[fx.Node]) -> list[nn.Module]:
        """Return the modules that the nodes call."""
        return [self.module.get_submodule(node.target) for node in nodes]

    def layer(self, node: Optional[fx.Node]) -> list[fx.Node]:
        """Return the nodes of a map and of its BatchNorm; [] if the node isn't a map.

        Only modules without hooks that are called once, and whose tensors are used nowhere else,
        are considered.
        """
        conv = self._called_once(node, *_MAPS)
        if conv is None:
            return []
        norm = self.only_user(node)
        # With more dimensions, a BatchNorm after a linear layer doesn't normalise its channels.
        rank = 4 if isinstance(conv, nn.Conv2d) else 2
        has_norm = self._called_once(norm, *_NORMS) and len(self.result(node)[0]) == rank
        return [node, norm] if has_norm else [node]

    def _called_once(self, node: Optional[fx.Node], *types: type) -> Optional[nn.Module]:
        module = self.called(node, *types)
        if module is None or self._calls[node.target] > 1:
            return None
        return None if module._forward_hooks or module._forward_pre_hooks else module

    def result(self, node: fx.Node) -> tuple[torch.Size, dict]:
        """Return the shape of a node's result for the example, and its device and dtype."""
        return self._results.get(node, (torch.Size(), {}))

    def is_relu(self, node: Optional[fx.Node]) -> bool:
        """Return whether a node is a ReLU module, function or method."""
        if node is None:
            return False
        if node.op == "call_method":
            return node.target in ("relu", "relu_")
        if node.op == "call_function":
            return node.target in _RELU_FUNCTIONS
        return self.called(node, nn.ReLU) is not None

    def only_user(self, node: fx.Node) -> Optional[fx.Node]:
        """Return the node that uses the result of `node`, if there is exactly one."""
        return next(iter(node.users)) if len(node.users) == 1 else None

    def replace_relu(self, relu: fx.Node, module: nn.Module) -> None:
        """Replace one call of a ReLU with a module."""
        graph, source = self.module.graph, relu.all_input_nodes[0]
        name = self._own_name(relu)
        order = {node: index for index, node in enumerate(graph.nodes)}
        in_place = self._in_place(relu)
        self.module.add_submodule(name, module)
        with graph.inserting_before(relu):
            new = graph.call_module(name, (source,))
        relu.replace_all_uses_with(new)
        if in_place:  # later uses of the input refer to the ReLU's output
            later = {node for node in source.users if order.get(node, 0) > order[relu]}
            source.replace_all_uses_with(new, delete_user_cb=later.__contains__)
        graph.erase_node(relu)

    def replace_chain(self, chain: list[fx.Node], module: nn.Module) -> None:
        """Replace a chain of nodes, each of which feeds only the next one, with a module."""
        self.module.add_submodule(chain[0].target, module)
        if len(chain) > 1:
            chain[-1].replace_all_uses_with(chain[0])
        for node in reversed(chain[1:]):
            self.module.graph.erase_node(node)
            # Delete it now: `finish` keeps a module that is also registered under a second name.
            if node.op == "call_module" and self._calls[node.target] == 1:
                self.module.delete_submodule(node.target)

    def finish(self) -> fx.GraphModule:
        """Delete the modules that are no longer called, and generate the code."""
        self.module.delete_all_unused_submodules()
        self.module.recompile()
        return self.module

    def _in_place(self, relu: fx.Node) -> bool:
        if relu.op == "call_module":
            return self.called(relu, nn.ReLU).inplace
        return relu.target in ("relu_", torch.relu_) or relu.kwargs.get("inplace", False)

    def _own_name(self, relu: fx.Node) -> str:
        if relu.op == "call_module" and self._calls[relu.target] == 1:
            return relu.target
        base = relu.target if relu.op == "call_module" else "relu"
        module = self.module
        tensors = itertools.chain(module.named_parameters(), module.named_buffers())
        taken = {name for name, _ in itertools.chain(module.named_modules(), tensors)}
        return next(name for i in itertools.count(1) if (name := f"{base}_{i}") not in taken)
