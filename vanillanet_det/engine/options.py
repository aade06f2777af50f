"""Parsers of command-line values that several tools share."""

import os
import re
from typing import Any, Optional

import torch
from mmengine.device import get_device

from ..errors import UserError
from ..models.backbones.archs import ARCHS
from ..models.backbones.gresnet import DEPTHS


def parse_size(text: str, flag: str, least: int = 32) -> tuple[int, int]:
    """Parse an image size: one side, or `HEIGHTxWIDTH`.

    Args:
        text: The size, such as `320` or `480x640`.
        flag: Name of the option, without dashes.
        least: The smallest side, in pixels.

    Returns:
        Height and width.

    Raises:
        UserError: The text isn't a size, or a side is too small.
    """
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    sides = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if min(sides) < least:
        raise UserError(
            f"--{flag} {text}: expected a side such as 320, or HEIGHTxWIDTH such as 480x640, "
            f"of at least {least} pixels"
        )
    return sides


def parse_backbone(text: str) -> str:
    """Parse the name of a backbone, such as `vanillanet11`.

    Args:
        text: `vanillanet` followed by a published arch.

    Returns:
        The arch, such as `11`.

    Raises:
        UserError: There is no such backbone.
    """
    arch = text[len("vanillanet") :]
    if not text.startswith("vanillanet") or arch not in ARCHS:
        names = ", ".join(f"vanillanet{name}" for name in ARCHS)
        raise UserError(f"--backbone {text}: expected one of {names}")
    return arch


def backbone_arguments(text: str) -> dict[str, Any]:
    """Return type and arguments of a named backbone.

    Args:
        text: `vanillanet` followed by a published arch, or `gresnet` followed by a depth.

    Raises:
        UserError: There is no such backbone.
    """
    gresnets = {f"gresnet{depth}": depth for depth in DEPTHS}
    if text in gresnets:
        return dict(type="GResNet", depth=gresnets[text])
    try:
        return dict(type="VanillaNet", arch=parse_backbone(text))
    except UserError as error:
        raise UserError(f"{error}, {', '.join(gresnets)}") from error


def parse_device(name: str) -> torch.device:
    """Parse the name of a device, and check that it can be used.

    Raises:
        UserError: The device can't be used here, or is neither `cpu` nor `cuda`.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        first = str(error).partition("\n")[0].rstrip(".")
        raise UserError(f"--device {name}: can't be used here ({first}); use cpu") from error
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"--device {name}: expected cpu or cuda")
    return device


def use_device(name: Optional[str]) -> None:
    """Make MMEngine train on a given device, instead of on the first visible GPU.

    Args:
        name: `cpu`, `cuda` or `cuda:1`; None keeps MMEngine's choice.

    Raises:
        UserError: The device can't be used here.
    """
    if name is None:
        return
    device = parse_device(name)
    if device.type == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        if get_device() != "cpu":  # MMEngine has already chosen a device
            raise UserError("--device cpu: set CUDA_VISIBLE_DEVICES= in the environment instead")
    elif device.index is not None:
        torch.cuda.set_device(device)
