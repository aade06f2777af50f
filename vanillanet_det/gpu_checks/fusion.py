"""Fused and unfused networks on a device, against float64 on the CPU."""

import contextlib
import copy
from collections.abc import Iterator
from functools import partial

import torch
from torch import nn

from ..models.backbones import VanillaNetwork
from ..models.backbones.gresnet import GResNetwork
from ..models.deploy import relative_error, switch_to_deploy
from ..models.precision import DTYPES
from .outcome import Check, Finding, SkippedError

TF32 = "tf32"
# TF32 and float16 have 10 bits of a fraction, bfloat16 has 7; errors add up over the layers.
ALLOWED = dict(fp32=1e-4, tf32=2e-2, fp16=2e-2, bf16=5e-2)
_MAKE = {"VanillaNet-5": partial(VanillaNetwork, "5"), "GResNet-50": GResNetwork}
_AMPERE = (8, 0)  # the first GPUs with TF32 and bfloat16


def fusion_checks() -> list[tuple[str, Check]]:
    """Return a check for each network and precision."""
    return [
        (f"{name}, unfused and fused, {precision}", partial(check_fusion, name, precision))
        for name in _MAKE
        for precision in ALLOWED
    ]


@torch.no_grad()
def check_fusion(name: str, precision: str, device: torch.device, side: int = 224) -> Finding:
    """Compare a network's features, in both forms and both layouts, with float64 on the CPU.

    Args:
        name: `VanillaNet-5` or `GResNet-50`.
        precision: A key of `ALLOWED`.
        device: Device to compare with the CPU.
        side: Height and width of the images.

    Raises:
        SkippedError: The device doesn't have the precision.
    """
    if device.type == "cpu" and precision == TF32:
        raise SkippedError("TF32 is a precision of GPUs")
    if device.type == "cuda" and precision in (TF32, "bf16"):
        capability = torch.cuda.get_device_capability(device)
        if capability < _AMPERE:
            raise SkippedError(f"compute capability {capability[0]}.{capability[1]} has none")
    torch.manual_seed(0)
    network = _MAKE[name]().eval()
    _randomize(network)
    images = torch.rand(2, 3, side, side)
    expected = [feature.float() for feature in copy.deepcopy(network).double()(images.double())]
    errors = []
    for form in (network, switch_to_deploy(network)):
        for layout in (torch.contiguous_format, torch.channels_last):
            dtype = DTYPES.get(precision, torch.float32)
            model = copy.deepcopy(form).to(device, dtype).to(memory_format=layout)
            with _tf32(precision == TF32), _if_supported():
                features = model(images.to(device, dtype))
            errors.append(relative_error([f.float().cpu() for f in features], expected))
    # Not max(), which may pass over a NaN.
    return Finding(torch.tensor(errors).max().item(), ALLOWED[precision])


def _randomize(network: nn.Module) -> None:
    """Give BatchNorms statistics: fresh ones are the identity, so that any fusion is right."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.2)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)


@contextlib.contextmanager
def _if_supported() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if "not implemented for" not in str(error):
            raise
        raise SkippedError(f"PyTorch {torch.__version__}: {error}") from error


@contextlib.contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    owners = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [owner.allow_tf32 for owner in owners]
    for owner in owners:
        owner.allow_tf32 = allowed
    try:
        yield
    finally:
        for owner, value in zip(owners, before):
            owner.allow_tf32 = value
