"""Fusion of a whole model into its deployed form, and comparison of both forms.

The algebra is in `layers/fusion.py`; the methods that a network needs are in `protocols.py`.
"""

import copy
from collections.abc import Iterable, Iterator
from typing import Any, Callable, NamedTuple, Optional

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .backbones.base import Backbone
from .preprocessing import preprocess
from .protocols import Deployable, HasLayers, Refusing

TOLERANCE = 1e-3
"""Largest difference between fused and original features, relative to the largest value."""
Prepare = Callable[[np.ndarray], Tensor]
"""Function that applies a test pipeline to an image `(H, W, C)`, and returns `(C, H', W')`."""


class Fusion(NamedTuple):
    """A fused detector, and how it compares with the original.

    Attributes:
        model: The fused copy.
        error: The `relative_error` of its features; None if they weren't compared.
        unchecked: Why the features couldn't be compared; '' if they were, or if nobody asked.
    """

    model: nn.Module
    error: Optional[float] = None
    unchecked: str = ""


class _CannotRunError(Exception):
    """A detector can't process the images it would be checked on."""


def switch_to_deploy(model: nn.Module, inplace: bool = False) -> nn.Module:
    """Convert everything in a model that can be fused to its deployed form.

    The function calls `switch_to_deploy()` of the topmost modules that have it (protocol
    `Deployable`), so it works for a bare backbone, a detector, and a test-time-augmentation
    wrapper. If the method returns a module, such as the fused layer of a pair, this module
    replaces the original one. Modules that are already fused are not changed.

    Args:
        model: The model; DistributedDataParallel and the like must be unwrapped before.
        inplace: Fuse `model` itself instead of a copy of it.

    Returns:
        The fused model.

    Raises:
        UserError: A module can't be fused, such as a VanillaNet with lambda < 1. The model is then
            unchanged, unless another part was already fused in place.
    """
    return _switch(model if inplace else _copy(model), "switch_to_deploy")


def switch_to_merged(model: nn.Module, inplace: bool = False) -> nn.Module:
    """Convert every VanillaNet in a model to its merged form, for fine-tuning.

    At lambda 1, a layer's first convolution, its BN and its second convolution are one linear
    map. The merged form has one convolution for this map, followed by the layer's last BN. In
    evaluation, it computes the same as the training form; in training, it needs half the
    parameters, less memory and less time. It can be fused like the training form.

    Args:
        model: The model; DistributedDataParallel and the like must be unwrapped before.
        inplace: Merge `model` itself instead of a copy of it.

    Returns:
        The merged model.

    Raises:
        UserError: A network can't be merged, because lambda is below 1 or it is deployed.
    """
    return _switch(model if inplace else _copy(model), "switch_to_merged")


class _Detaching(TorchFunctionMode):
    """Copies tensors of an autograd graph as values; PyTorch refuses to deep-copy them.

    Some heads, such as CondInst's, keep tensors of their last training step.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: Optional[dict] = None
    ) -> Any:
        if func is Tensor.__deepcopy__ and not args[0].is_leaf:
            return args[0].detach().clone()
        return func(*args, **(kwargs or {}))


def _copy(model: nn.Module) -> nn.Module:
    with _Detaching():
        return copy.deepcopy(model)


def _switch(model: nn.Module, method: str) -> nn.Module:
    if hasattr(model, method):
        return getattr(model, method)() or model
    for name, child in model.named_children():
        switched = _switch(child, method)
        if switched is not child:
            setattr(model, name, switched)
    return model


def is_deployable(model: nn.Module) -> bool:
    """Return whether any module in a model has a deployed form."""
    return any(isinstance(module, Deployable) for module in model.modules())


def deploy_refusal(model: nn.Module) -> str:
    """Return the reason why a model can't be fused at present; '' if it can."""
    modules = (module for module in model.modules() if isinstance(module, Refusing))
    return next(filter(None, (module.deploy_refusal() for module in modules)), "")


def fuse(
    detector: nn.Module,
    name: str,
    tolerance: Optional[float] = TOLERANCE,
    fold: Optional[Callable[[nn.Module], object]] = None,
    prepare: Optional[Prepare] = None,
) -> Fusion:
    """Fuse a copy of a detector, and compare its features with the original's.

    Args:
        detector: A detector with `extract_feat`, or a test-time-augmentation wrapper of one.
        name: Name of the detector in errors.
        tolerance: Largest `relative_error` on one random image; None skips the comparison.
        fold: Function that folds further layers of the copy, called before the comparison.
        prepare: The detector's test pipeline, for detectors that only process what it returns.

    Returns:
        The fused copy and the error of its features. If the detector can't process a random image,
        the reason is returned instead of the error.

    Raises:
        UserError: A network can't be fused.
        RuntimeError: The features differ by more than the tolerance.
    """
    fused = switch_to_deploy(detector)
    if fold is not None:
        fold(fused)
    if tolerance is None:
        return Fusion(fused)
    try:
        error = detector_error(detector, fused, prepare)
    except _CannotRunError as problem:
        reason = f"the fused features couldn't be compared with the original ones: {problem}"
        return Fusion(fused, unchecked=reason)
    if not error <= tolerance:
        raise RuntimeError(
            f"{name}: fused and original features differ by {error:.1e} of their largest value, "
            f"more than the tolerance {tolerance:g}; possible causes are an error in the fusion, "
            "weights that are not finite, and 16-bit precision, which needs a larger tolerance "
            "(None skips the check)"
        )
    return Fusion(fused, error)


def relative_error(found: Iterable[Tensor], expected: Iterable[Tensor]) -> float:
    """Compare features with the expected ones.

    Args:
        found: Tensors of any shape.
        expected: Expected tensors, of the same number and shapes.

    Returns:
        The largest difference, relative to the largest value of the expected tensor; NaN if any
        value is NaN.
    """
    errors = [
        float((a - b).abs().max() / b.abs().max().clamp(min=torch.finfo(b.dtype).tiny))
        for a, b in zip(found, expected)
    ]
    # max() may ignore a NaN.
    return max(errors) if all(error == error for error in errors) else float("nan")


def image_channels(model: nn.Module) -> int:
    """Return the number of channels of a model's images.

    Args:
        model: A detector, a test-time-augmentation wrapper of one, or any image network.
    """
    model = getattr(model, "module", model)
    network = getattr(model, "backbone", model)
    if isinstance(network, (Backbone, Deployable)) and hasattr(network, "in_channels"):
        return network.in_channels
    kernels = ((name, p) for name, p in network.named_parameters() if p.dim() == 4)
    name, first = next(kernels, ("", None))
    if first is None:
        return 3
    # mmdet's CSPDarknet stacks the four pixels of each square before its first convolution.
    stem = type(network.get_submodule(name.partition(".")[0])).__name__
    return first.shape[1] // 4 if stem == "Focus" else first.shape[1]


def random_image(model: nn.Module, channels: int = 3) -> Tensor:
    """Return a random image `(1, channels, 131, 157)` in a model's precision, on its device.

    Both sides are prime, so that every pooling layer has an incomplete window. The values are
    always the same, and PyTorch's global random state is not changed.
    """
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, channels, 131, 157, generator=generator)
    return image.to(next(model.parameters()))


@torch.no_grad()
def detector_error(
    original: nn.Module, fused: nn.Module, prepare: Optional[Prepare] = None
) -> float:
    """Compare the features of a detector and its fused copy on one random image.

    Both get what the detector's own preprocessor makes of the image: necks that join features need
    its padding. A detector without padding may still need the sizes of its test pipeline.

    Args:
        original: A detector with `extract_feat`, or a test-time-augmentation wrapper of one.
        fused: The fused copy of `original`.
        prepare: The detector's test pipeline, applied if the image alone can't be processed.

    Returns:
        The `relative_error`.
    """
    original, fused = (getattr(model, "module", model) for model in (original, fused))
    modes = [(module, module.training) for module in original.modules()]
    try:
        # Disable cuDNN: rounding of its TF32 kernels on GPUs would hide errors.
        with torch.backends.cudnn.flags(enabled=False, allow_tf32=False):
            inputs, expected = _first_features(original.eval(), prepare)
            return relative_error(_tensors(fused.eval().extract_feat(inputs)), expected)
    finally:
        for module, training in modes:
            module.training = training


def _first_features(detector: nn.Module, prepare: Optional[Prepare]) -> tuple[Tensor, list[Tensor]]:
    """Return the first input that a detector can process, and its features."""
    pixels = random_image(detector, image_channels(detector))[0].float().cpu()
    pixels = (64 * pixels + 128).clamp(0, 255).byte()
    prepared = [lambda: pixels]
    if prepare is not None:
        prepared.append(lambda: prepare(pixels.permute(1, 2, 0).numpy()))
    problem = None
    for make in prepared:
        try:
            inputs = preprocess(detector, make())["inputs"].to(next(detector.parameters()))
            return inputs, list(_tensors(detector.extract_feat(inputs)))
        except Exception as error:  # a detector raises almost any exception
            problem = error
    raise _CannotRunError(f"{type(problem).__name__}: {problem}".partition("\n")[0])


def _tensors(features: Any) -> Iterator[Tensor]:
    if isinstance(features, Tensor):
        yield features
    elif isinstance(features, (list, tuple, dict)):
        for value in features.values() if isinstance(features, dict) else features:
            yield from _tensors(value)


@torch.no_grad()
def layer_errors(
    original: HasLayers, other: HasLayers, image: Tensor
) -> Iterator[tuple[str, float, float]]:
    """Compare two forms of a network layer by layer.

    Args:
        original: The network, in evaluation mode.
        other: The same network in another form.
        image: Images of shape `(N, in_channels, H, W)`.

    Yields:
        For each layer: its name, its `relative_error` on the same input, and the `relative_error`
        of all layers up to it.
    """
    x = y = image
    others = other.named_layers()
    for name, layer in original.named_layers().items():
        alone, x, y = others[name](x), layer(x), others[name](y)
        yield name, relative_error([alone], [x]), relative_error([y], [x])
