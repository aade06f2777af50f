"""Values of command lines that several tools take."""

import os
import re
from typing import Optional

import torch
from mmengine.device import get_device

from ..errors import UserError
from ..models.backbones.archs import ARCHS


def parse_size(text: str, flag: str) -> tuple[int, int]:
    """Read a size of images: one side, or `HEIGHTxWIDTH`.

    Args:
        text: Such as `320` or `480x640`.
        flag: Name of the option, without dashes.

    Returns:
        Height and width.

    Raises:
        UserError: It is no size, or below 32 pixels.
    """
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    sides = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if min(sides) < 32:
        raise UserError(
            f"--{flag} {text}: expected a side such as 320, or HEIGHTxWIDTH such as 480x640, "
            "from 32 pixels"
        )
    return sides


def parse_backbone(text: str) -> str:
    """Read the name of a backbone, such as `vanillanet11`.

    Args:
        text: `vanillanet` and a published arch.

    Returns:
        The arch, such as `11`.

    Raises:
        UserError: No such backbone.
    """
    arch = text[len("vanillanet") :]
    if not text.startswith("vanillanet") or arch not in ARCHS:
        names = ", ".join(f"vanillanet{name}" for name in ARCHS)
        raise UserError(f"--backbone {text}: expected one of {names}")
    return arch


def parse_device(name: str) -> torch.device:
    """Read the name of a device, and try it.

    Raises:
        UserError: It can't be used here, or is neither the CPU nor a GPU of CUDA's.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        first = str(error).partition("\n")[0].rstrip(".")
        raise UserError(f"--device {name}: can't be used here ({first}); take cpu") from error
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"--device {name}: expected cpu or cuda")
    return device


def use_device(name: Optional[str]) -> None:
    """Make MMEngine, which takes a GPU where it sees one, train on a device.

    Args:
        name: `cpu`, `cuda`, `cuda:1`; None for MMEngine's choice.

    Raises:
        UserError: It can't be used here.
    """
    if name is None:
        return
    device = parse_device(name)
    if device.type == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        if get_device() != "cpu":  # it was asked before, and keeps its answer
            raise UserError("--device cpu: set CUDA_VISIBLE_DEVICES= before the command instead")
    elif device.index is not None:
        torch.cuda.set_device(device)
