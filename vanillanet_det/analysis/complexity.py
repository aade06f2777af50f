"""Parameters, multiply-accumulates and activations of a model, module by module.

"FLOPs" are multiply-accumulates of convolutions and matrix products, as in most publications;
activations are the size of their outputs. Normalisation, activation functions, pooling and
interpolation are not counted.

Kernels are counted one for each operator that computes, and one more for the bias of a dense
convolution, which PyTorch adds by itself after cuDNN. Libraries may launch further ones, to change
layouts for instance, so a GPU launches at least about as many.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Callable

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from .forward import forward_once

# PyTorch's own operators that multiply but that its counter may not know.
_MULTIPLYING = ("attention", "transformer", "grid_sampler", "rnn")
_NOT_COMPUTING = ("empty", "as_strided", "_unsafe_view", "lift_fresh", "local_scalar")
_OWN_NAMESPACES = ("aten", "prim", "profiler")


@dataclass(frozen=True)
class Cost:
    """Cost of a model or a part of it; costs can be added.

    Attributes:
        parameters: Number of parameters.
        flops: Multiply-accumulates.
        activations: Size of the outputs of convolutions and matrix products.
        kernels: Number of kernels that a GPU launches without torch.compile.
    """

    parameters: int = 0
    flops: int = 0
    activations: int = 0
    kernels: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.parameters + other.parameters,
            self.flops + other.flops,
            self.activations + other.activations,
            self.kernels + other.kernels,
        )


@dataclass(frozen=True)
class Complexity:
    """Costs of a model, and the operators that could not be counted.

    Attributes:
        modules: Name of every module -> its cost, without the modules below it.
        uncounted: Phrases such as `torchvision::deform_conv2d in DeformConv2d`.
    """

    modules: dict[str, Cost]
    uncounted: tuple[str, ...]

    def total(self, chosen: Callable[[str], bool] = lambda name: True) -> Cost:
        """Return the total cost of the modules whose name is chosen, by default of all modules."""
        return sum((cost for name, cost in self.modules.items() if chosen(name)), Cost())

    @property
    def parts(self) -> dict[str, Cost]:
        """The cost of each direct child of the model, if it has any."""
        names = dict.fromkeys(name.partition(".")[0] for name in self.modules)
        costs = {
            part or "(itself)": self.total(lambda name, part=part: name.partition(".")[0] == part)
            for part in names
        }
        return {part: cost for part, cost in costs.items() if cost != Cost()}


def count_complexity(model: nn.Module, input_size: tuple[int, int]) -> Complexity:
    """Count the cost of one image in evaluation mode.

    Args:
        model: A detector or any network that takes images, on the meta device or a real one. It
            is left unchanged.
        input_size: Height and width of the image.

    Returns:
        The costs.

    Raises:
        Exception: Whatever the model raises for this size or on its device.
    """
    recorder = _Recorder(model)
    with _frozen(model), recorder.watching():
        forward_once(model, input_size)
    return recorder.complexity()


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode, and disable autograd, within a `with` block."""
    modes = {module: module.training for module in model.modules()}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.eval()
    model.requires_grad_(False)
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
        for parameter in trained:
            parameter.requires_grad_(True)


class _Recorder(TorchDispatchMode):
    """Recorder that attributes the FLOPs of each operator to the module that calls it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.names = {module: name for name, module in model.named_modules()}
        self.calls: list[nn.Module] = []  # from the model down to the innermost module
        self.called: set[nn.Module] = set()
        self.counter = FlopCounterMode(display=False)
        self.flops: Counter = Counter()
        self.activations: Counter = Counter()
        self.kernels: Counter = Counter()
        self.seen: set[int] = set()  # ids of the operators' input tensors
        self.unknown: set[str] = set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the calls of modules and operators."""
        with ExitStack() as stack:
            for module in self.names:
                stack.enter_context(_removed(module.register_forward_pre_hook(self._enter)))
                stack.enter_context(_removed(module.register_forward_hook(self._leave)))
            stack.enter_context(self.counter)
            stack.enter_context(self)  # inside the counter, which counts the calls from here
            yield

    def _enter(self, module: nn.Module, args: Any) -> None:
        self.calls.append(module)
        self.called.add(module)

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        self.calls.pop()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        before = self.counter.get_total_flops()
        output = func(*args, **kwargs)
        flops = (
            self.counter.get_total_flops() - before
        ) // 2  # the counter counts two per multiply-accumulate
        module = self.calls[-1] if self.calls else None
        name = self.names.get(module, "")
        self.seen.update(map(id, _tensors((*args, *kwargs.values()))))
        if module is not None:  # and not the making of the image
            self.kernels[name] += _count_kernels(func, args)
        if flops:
            self.flops[name] += flops
            self.activations[name] += next(_tensors((output,))).numel()
        elif func.namespace not in _OWN_NAMESPACES or any(
            word in func.__name__ for word in _MULTIPLYING
        ):
            operator = f"{func.namespace}::{func.__name__.partition('.')[0]}"
            self.unknown.add(f"{operator} in {type(module).__name__}")
        return output

    def complexity(self) -> Complexity:
        """Sum up the recorded operators."""
        counted: set[int] = set()  # a shared parameter counts once
        modules = {}
        for module, name in self.names.items():
            own = {id(p): p for p in module.parameters(recurse=False) if id(p) not in counted}
            counted.update(own)
            number = sum(parameter.numel() for parameter in own.values())
            modules[name] = Cost(
                number, self.flops[name], self.activations[name], self.kernels[name]
            )
        # Compiled operators bypass PyTorch's dispatcher; they are detected by weights that no
        # recorded operator used.
        hidden = {
            type(module).__name__
            for module in self.called
            for parameter in module.parameters(recurse=False)
            if parameter.dim() > 1 and id(parameter) not in self.seen
        }
        hidden = {f"the operator of {name}" for name in hidden}
        return Complexity(modules, tuple(sorted(self.unknown | hidden)))


def _count_kernels(func: Any, args: tuple) -> int:
    results = func._schema.returns
    if not results or all(r.alias_info is not None and not r.alias_info.is_write for r in results):
        return 0  # a view
    name = func._schema.name
    if any(word in name for word in _NOT_COMPUTING):
        return 0
    if name != "aten::convolution":
        return 1
    _, kernels, bias, *_, groups = args
    is_depthwise = groups > 1 and kernels.shape[1] == 1
    return 1 if bias is None or is_depthwise else 2


@contextmanager
def _removed(handle: Any) -> Iterator[None]:
    try:
        yield
    finally:
        handle.remove()


def _tensors(values: Any) -> Iterator[Tensor]:
    """Yield the tensors among arguments, which may be lists of tensors."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)
