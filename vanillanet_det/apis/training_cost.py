"""The cost of training the forms, as `tools/training_cost.py` runs it."""

import re

import torch

from ..analysis.training_cost import table, training_costs
from ..engine.options import parse_device
from ..errors import UserError
from ..models.backbones import ARCHS


def training_cost(
    arch: str = "11",
    batch_size: int = 2,
    size: int = 256,
    repeats: int = 5,
    device: str = "cpu",
) -> str:
    """Measure memory and time of a training step of VanillaNet's forms.

    Args:
        arch: Name of a published arch.
        batch_size: Images in a batch.
        size: Height and width of an image in pixels.
        repeats: Steps to measure.
        device: Where to train, `cpu` or `cuda`.

    Returns:
        A table in Markdown; the first row is the form as it is published.

    Raises:
        UserError: A value that can't be measured.
    """
    if arch not in ARCHS:
        raise UserError(f"--arch {arch}: expected one of {', '.join(ARCHS)}")
    least = dict(batch_size=1, size=64, repeats=1)
    for key, value in dict(batch_size=batch_size, size=size, repeats=repeats).items():
        if value < least[key]:
            flag = key.replace("_", "-")
            raise UserError(f"--{flag} {value}: expected a whole number from {least[key]}")
    parse_device(device)
    try:
        costs = training_costs(arch, (batch_size, size, size), repeats, device)
    except RuntimeError as error:
        if not re.search(r"out of memory|can't allocate memory", str(error)):
            raise
        raise UserError(
            f"--arch {arch} --batch-size {batch_size} --size {size}: the nine networks don't fit "
            "into the memory together; choose smaller values"
        ) from error
    where = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    return (
        f"VanillaNet-{arch}, {batch_size} x {size} x {size}, {where}, {torch.get_num_threads()} "
        f"threads, PyTorch {torch.__version__}, medians of {repeats} steps\n\n{table(costs)}"
    )
