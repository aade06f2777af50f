"""Time of a training step in each form of VanillaNet, and memory for the backward pass.

Other networks can be trained beside them.
"""

import copy
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Optional, Union

import torch
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.profiler import profile

from ..errors import UserError
from ..models.backbones.mmdet_vanillanet import VanillaNet
from ..models.layers.max_pool import MaxPool
from .table import markdown

PUBLISHED = "published training form"
_TRAINING, _MERGED = "training form", "merged form"
_FORMS = {
    PUBLISHED: {},
    _TRAINING: {},
    f"{_TRAINING}, `with_cp`": dict(with_cp=True),
    _MERGED: dict(merged=True),
    f"{_MERGED}, `with_cp`": dict(merged=True, with_cp=True),
}
LAYOUTS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}


@dataclass
class TrainingCost:
    """Cost of training a network, or one form of it.

    Attributes:
        form: Name of the form, or of another network.
        layout: Memory layout of kernels and features.
        parameters: Number of parameters.
        kept_bytes: Bytes that the forward pass keeps for the backward pass, without parameters.
        images: Images of a step.
        seconds: Time of each step: forward pass, backward pass, optimizer.
        depthwise: Share of depthwise convolutions in one more step's time in operators.
    """

    form: str
    layout: str
    parameters: int
    kept_bytes: int
    images: int
    seconds: list[float] = field(default_factory=list)
    depthwise: float = 0.0

    @property
    def step(self) -> float:
        """Median time of a step in seconds."""
        return statistics.median(self.seconds)


def training_costs(
    arch: Union[str, dict],
    image_size: tuple[int, int, int],
    repeats: int,
    device: str,
    beside: Optional[Mapping[str, nn.Module]] = None,
) -> list[TrainingCost]:
    """Train each form of a backbone, and other networks, for a few steps; measure their cost.

    The first row is the published form: conv, BN, conv, BN, PyTorch's max pooling, ReLU, depthwise
    conv, BN, contiguous. Forms take turns, one step each, so that a slow phase of the machine
    affects all of them.

    Args:
        arch: A published arch's name, or a dict, as for `VanillaNet`.
        image_size: Number of images, height and width in pixels.
        repeats: Steps to measure, after one warm-up step.
        device: Such as `cpu` or `cuda`.
        beside: Other networks by name, which return tensors in any nesting.

    Returns:
        The cost of each form and each other network in each layout.

    Raises:
        UserError: Another network can't be trained on images of this size.
    """
    images = torch.randn(image_size[0], 3, *image_size[1:], device=device)
    networks = [
        (form, layout, _build(arch, form, kwargs, LAYOUTS[layout]).to(device))
        for layout in LAYOUTS
        for form, kwargs in _FORMS.items()
        if (form, layout) != (PUBLISHED, "channels-last")
    ] + [
        (name, layout, copy.deepcopy(network).to(device, memory_format=LAYOUTS[layout]))
        for name, network in (beside or {}).items()
        for layout in LAYOUTS
    ]
    for name, layout, network in networks:
        if layout == "contiguous":
            _check(name, network, images)
    costs = [
        TrainingCost(
            form,
            layout,
            sum(p.numel() for p in net.parameters()),
            kept_bytes(net, images),
            len(images),
        )
        for form, layout, net in networks
    ]
    # Foreach and fused optimizers depend on the device; the plain loop doesn't.
    optimizers = [torch.optim.AdamW(net.parameters(), foreach=False) for _, _, net in networks]
    for repeat in range(repeats + 1):
        for (_, _, network), optimizer, cost in zip(networks, optimizers, costs):
            seconds = _step(network, optimizer, images)
            if repeat:
                cost.seconds.append(seconds)
    for (_, _, network), optimizer, cost in zip(networks, optimizers, costs):
        step = partial(_step, network, optimizer, images)
        cost.depthwise = depthwise_share(step, images.is_cuda)
    return costs


def _build(
    arch: Union[str, dict], form: str, kwargs: dict, layout: torch.memory_format
) -> nn.Module:
    network = VanillaNet(arch, **kwargs).train()
    if form == PUBLISHED:
        for module in list(network.modules()):
            for name, child in module.named_children():
                if isinstance(child, MaxPool):
                    setattr(module, name, nn.MaxPool2d(child.stride))
    return network.to(memory_format=layout)


def _check(name: str, network: nn.Module, images: Tensor) -> None:
    try:
        network(images)
    except Exception as error:  # networks raise almost any exception for sizes they don't accept
        size = " x ".join(map(str, images.shape[2:]))
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"--beside {name}: can't be trained on {len(images)} images of {size} ({reason})"
        ) from error


def depthwise_share(step: Callable[[], object], on_gpu: bool = False) -> float:
    """Return the share of depthwise convolutions in the time that operators take.

    Args:
        step: Function that computes a step, forward and backward.
        on_gpu: Whether it computes on a GPU.
    """
    # PyTorch 2.1 knows only GPUs by CUDA.
    names = ("self_device_time_total", "self_cuda_time_total") if on_gpu else ()
    with profile(record_shapes=True) as profiler:
        step()
    depthwise = total = 0.0
    for event in profiler.key_averages(group_by_input_shape=True):
        if event.device_type != DeviceType.CPU:
            continue  # a kernel, whose time its operator has, too
        name = next((name for name in names if hasattr(event, name)), "self_cpu_time_total")
        own = getattr(event, name)
        total += own
        weights = [shape for shape in event.input_shapes[1:3] if len(shape) == 4]
        if "conv" in event.key and weights and weights[-1][0] > 1 == weights[-1][1]:
            depthwise += own
    return depthwise / total


def kept_bytes(network: nn.Module, images: Tensor) -> int:
    """Count the bytes that a forward pass keeps for the backward pass.

    Args:
        network: A network that returns features.
        images: Its input.

    Returns:
        Bytes of all storages that autograd keeps, each counted once, without the network's
        parameters and buffers.
    """
    own = {t.untyped_storage().data_ptr() for t in (*network.parameters(), *network.buffers())}
    kept: dict[int, Tensor] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        features = network(images)
    total = sum(t.untyped_storage().nbytes() for key, t in kept.items() if key not in own)
    del features
    return total


def _step(network: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor) -> float:
    _wait(images)
    begin = time.perf_counter()
    optimizer.zero_grad()
    sum(feature.square().mean() for feature in _tensors(network(images))).backward()
    optimizer.step()
    _wait(images)
    return time.perf_counter() - begin


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    else:
        for part in output.values() if isinstance(output, dict) else output:
            yield from _tensors(part)


def _wait(images: Tensor) -> None:
    if images.is_cuda:
        torch.cuda.synchronize(images.device)


def table(costs: Sequence[TrainingCost]) -> str:
    """Write costs as Markdown, relative to the first row."""
    return markdown(
        [
            *("form", "layout", "parameters M", "kept MB", "ratio", "step s", "ratio"),
            *("images per s", "depthwise"),
        ],
        list(_rows(costs)),
    )


def _rows(costs: Sequence[TrainingCost]) -> Iterator[list[str]]:
    first = costs[0]
    for cost in costs:
        yield [
            cost.form,
            cost.layout,
            f"{cost.parameters / 1e6:.1f}",
            f"{cost.kept_bytes / 1e6:.0f}",
            f"{cost.kept_bytes / first.kept_bytes:.2f}",
            f"{cost.step:.2f}",
            f"{cost.step / first.step:.2f}",
            f"{cost.images / cost.step:.2f}",
            f"{100 * cost.depthwise:.0f} %",
        ]
