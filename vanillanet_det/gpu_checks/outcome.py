"""How a check ends."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Callable, Optional

import torch

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


class SkippedError(Exception):
    """A check can't run here; the message states the reason."""


@dataclass(frozen=True)
class Finding:
    """What a check has found.

    Attributes:
        figure: Size of a difference, relative to the largest value unless the name says otherwise.
        allowed: The largest difference that passes.
    """

    figure: float
    allowed: float


Check = Callable[[torch.device], Finding]
"""Function that compares computation on a device with the same on the CPU."""


@dataclass(frozen=True)
class Outcome:
    """How one check ended.

    Attributes:
        name: Name of the check.
        status: `passed`, `failed` or `skipped`.
        figure: As in `Finding`; None if it wasn't measured.
        allowed: As in `Finding`.
        reason: Why it was skipped, or the error that ended it.
        seconds: How long it took.
    """

    name: str
    status: str
    figure: Optional[float] = None
    allowed: Optional[float] = None
    reason: str = ""
    seconds: float = 0.0


def run_checks(
    checks: Iterable[tuple[str, Check]], device: torch.device, show: Callable[[str], object]
) -> list[Outcome]:
    """Run checks one after another; one that fails doesn't end the others.

    Args:
        checks: Name and function of each check.
        device: Device to check.
        show: Called with the name of each check before it runs.

    Returns:
        An outcome for each check.
    """
    outcomes = []
    for name, check in checks:
        show(name)
        start = time.perf_counter()
        outcome = _run(name, check, device)
        outcomes.append(Outcome(*outcome, seconds=time.perf_counter() - start))
    return outcomes


def _run(name: str, check: Check, device: torch.device) -> tuple:
    try:
        found = check(device)
    except SkippedError as error:
        return name, SKIPPED, None, None, str(error)
    except Exception as error:  # a GPU's driver and libraries may raise almost anything
        lines = str(error).splitlines() or [""]
        return name, FAILED, None, None, f"{type(error).__name__}: {lines[0]}"
    # A NaN fails.
    status = PASSED if found.figure <= found.allowed else FAILED
    return name, status, found.figure, found.allowed
