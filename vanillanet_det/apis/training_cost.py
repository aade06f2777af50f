"""Memory and time of a training step, used by `vanillanet-det training-cost`."""

import re
from collections.abc import Sequence

import timm
import torch
from torch import nn

from ..analysis.training_cost import table, training_costs
from ..configs import is_ultralytics
from ..engine.options import parse_backbone, parse_device, parse_size
from ..errors import UserError
from ..inference.ultralytics import open_network

_LEAST_SIDE = 64  # training needs more than one value per channel at stride 32


def training_cost(
    backbone: str = "vanillanet11",
    batch_size: int = 2,
    input_size: str = "256",
    repeats: int = 5,
    device: str = "cpu",
    beside: Sequence[str] = (),
) -> str:
    """Measure the memory and time of a training step for each of VanillaNet's forms.

    Args:
        backbone: `vanillanet` followed by a published arch.
        batch_size: Images per batch.
        input_size: Size of an image, `256` or `480x640` (height x width).
        repeats: Number of steps to measure.
        device: Device to train on, such as `cpu` or `cuda`.
        beside: Other networks to train beside them: `timm:NAME`, or YAMLs of Ultralytics.

    Returns:
        A table in Markdown; the first row is the published training form.

    Raises:
        UserError: A value is out of range, or the networks don't fit into memory.
    """
    arch = parse_backbone(backbone)
    for flag, value in (("batch-size", batch_size), ("repeats", repeats)):
        if value < 1:
            raise UserError(f"--{flag} {value}: expected a positive integer")
    height, width = parse_size(input_size, "input-size")
    if min(height, width) < _LEAST_SIDE:
        raise UserError(f"--input-size {input_size}: expected at least {_LEAST_SIDE} pixels")
    parse_device(device)
    others = {name: _network(name) for name in beside}
    try:
        costs = training_costs(arch, (batch_size, height, width), repeats, device, others)
    except RuntimeError as error:
        if not re.search(r"out of memory|can't allocate memory", str(error)):
            raise
        raise UserError(
            f"--backbone {backbone} --batch-size {batch_size} --input-size {input_size}: the "
            "networks don't fit into memory together; choose smaller values"
        ) from error
    where = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    return (
        f"VanillaNet-{arch}, {batch_size} x {height} x {width}, {where}, {torch.get_num_threads()} "
        f"threads, PyTorch {torch.__version__}, medians of {repeats} steps\n\n{table(costs)}"
    )


def _network(name: str) -> nn.Module:
    if is_ultralytics(name):
        return open_network(name).train()
    if not name.startswith("timm:"):
        raise UserError(
            f"--beside {name}: expected timm:NAME, such as timm:resnet50, or a YAML of Ultralytics"
        )
    if not timm.is_model(name.removeprefix("timm:")):
        raise UserError(f"--beside {name}: timm {timm.__version__} has no such network")
    return timm.create_model(name.removeprefix("timm:")).train()
