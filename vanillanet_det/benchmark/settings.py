"""The settings of a benchmark."""

from dataclasses import dataclass, field
from typing import Optional

import torch

from ..runtime.engines import ENGINES as RUNTIMES
from .results import EAGER

PYTORCH = "pytorch"
ENGINES = (PYTORCH, *RUNTIMES)


@dataclass(frozen=True)
class BenchmarkSettings:
    """What to measure: every combination of these settings.

    Forms, layouts and modes apply to PyTorch alone: other engines compute the fused
    network.

    Attributes:
        forms: `training`, `deploy` or both.
        precisions: Any of `PRECISIONS`.
        layouts: Any of `LAYOUTS`, or `auto` for the faster layout.
        modes: Any of `MODES`.
        sizes: Height and width of images; None keeps the size of the config's pipeline.
        batch_sizes: Numbers of images in a batch.
        parts: `backbone`, `detector` or both.
        engines: Any of `ENGINES`.
        exported: Exported files, each measured in its own precision, part and engine.
        images: Folder of images; None for the embedded images.
        device: Device to compute on.
        budget: Time for measuring, in seconds.
        rounds: Number of rounds, regardless of time; None for as many as fit the budget.
    """

    forms: tuple[str, ...] = ("training", "deploy")
    precisions: tuple[str, ...] = ("fp32",)
    layouts: tuple[str, ...] = ("auto",)
    modes: tuple[str, ...] = (EAGER,)
    sizes: tuple[Optional[tuple[int, int]], ...] = (None,)
    batch_sizes: tuple[int, ...] = (1,)
    parts: tuple[str, ...] = ("backbone", "detector")
    engines: tuple[str, ...] = (PYTORCH,)
    exported: tuple[str, ...] = ()
    images: Optional[str] = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    budget: float = 75.0
    rounds: Optional[int] = None

    @property
    def export_engines(self) -> list[str]:
        """The engines for which networks are exported."""
        return [engine for engine in self.engines if engine != PYTORCH]
