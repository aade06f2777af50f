"""Fusion of a whole model into its deployed form, and comparison of both forms.

The algebra is in `layers/fusion.py`; the methods that a network needs are in `protocols.py`.
"""

import copy
from collections.abc import Iterable, Iterator
from typing import Callable, Optional

import torch
from torch import Tensor, nn

from .backbones.base import Backbone
from .protocols import Deployable, Refusing

TOLERANCE = 1e-3
"""Largest difference between fused and original features, relative to the largest value."""


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
    return _switch(model if inplace else copy.deepcopy(model), "switch_to_deploy")


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
    return _switch(model if inplace else copy.deepcopy(model), "switch_to_merged")


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
) -> tuple[nn.Module, Optional[float]]:
    """Fuse a copy of a detector, and compare its features with the original's.

    Args:
        detector: A detector with `extract_feat`, or a test-time-augmentation wrapper of one.
        name: Name of the detector in errors.
        tolerance: Largest `relative_error` on one random image; None skips the comparison.
        fold: Function that folds further layers of the copy, called before the comparison.

    Returns:
        The fused copy, and the error of its features (None without a comparison).

    Raises:
        UserError: A network can't be fused.
        RuntimeError: The features differ by more than the tolerance.
    """
    fused = switch_to_deploy(detector)
    if fold is not None:
        fold(fused)
    if tolerance is None:
        return fused, None
    error = detector_error(detector, fused)
    if not error <= tolerance:
        raise RuntimeError(
            f"{name}: fused and original features differ by {error:.1e} of their largest value, "
            f"more than the tolerance {tolerance:g}; possible causes are an error in the fusion, "
            "weights that are not finite, and 16-bit precision, which needs a larger tolerance "
            "(None skips the check)"
        )
    return fused, error


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
def detector_error(original: nn.Module, fused: nn.Module) -> float:
    """Compare the features of a detector and its fused copy on one random image.

    Args:
        original: A detector with `extract_feat`, or a test-time-augmentation wrapper of one.
        fused: The fused copy of `original`.

    Returns:
        The `relative_error`.
    """
    image = random_image(original, image_channels(original))
    modes = [(module, module.training) for module in original.modules()]
    try:
        # Disable cuDNN: rounding of its TF32 kernels on GPUs would hide errors.
        with torch.backends.cudnn.flags(enabled=False, allow_tf32=False):
            expected, found = (
                (m.module if hasattr(m, "module") else m).eval().extract_feat(image)
                for m in (original, fused)
            )
    finally:
        for module, training in modes:
            module.training = training
    return relative_error(found, expected)


@torch.no_grad()
def layer_errors(
    original: nn.Module, other: nn.Module, image: Tensor
) -> Iterator[tuple[str, float, float]]:
    """Compare two forms of a VanillaNet layer by layer.

    Args:
        original: The network, in evaluation mode.
        other: The same network in another form, with the same number of layers.
        image: Images of shape `(N, in_channels, H, W)`.

    Yields:
        For the stem and each stage: its name, its `relative_error` on the same input, and the
        `relative_error` of all layers up to it.
    """
    lambdas = [network.read_lambda() for network in (original, other)]
    x = y = image
    for index, (layer, same) in enumerate(zip(original.layers, other.layers)):
        alone = same(x, lambdas[1])
        x, y = layer(x, lambdas[0]), same(y, lambdas[1])
        name = f"stages.{index - 1}" if index else "stem"
        yield name, relative_error([alone], [x]), relative_error([y], [x])
