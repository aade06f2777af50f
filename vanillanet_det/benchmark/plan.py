"""What a benchmark is asked to measure."""

from dataclasses import dataclass, field
from typing import Optional

import torch

from ..runtime.engines import ENGINES as RUNTIMES

PYTORCH = "pytorch"
ENGINES = (PYTORCH, *RUNTIMES)


@dataclass(frozen=True)
class Plan:
    """What to measure: every combination of these.

    Forms, layouts and whether torch.compile is used are PyTorch's alone: what other engines
    compute is fused.

    Attributes:
        forms: Of `training` and `deploy`.
        precisions: Of `PRECISIONS`.
        layouts: Of `LAYOUTS`, and `auto` for whichever is faster.
        compiled: Of False and True.
        sizes: Height and width of images; None for what the config's pipeline makes.
        batch_sizes: Images in a batch.
        parts: Of `backbone` and `detector`.
        engines: Of `ENGINES`.
        exported: Exported files to measure, too, each in its own precision, part and engine.
        images: Folder of pictures, or None for embedded ones.
        device: Where to compute.
        budget: Seconds to measure.
        rounds: How many rounds, whatever they take; None for as many as fit.
    """

    forms: tuple[str, ...] = ("training", "deploy")
    precisions: tuple[str, ...] = ("fp32",)
    layouts: tuple[str, ...] = ("auto",)
    compiled: tuple[bool, ...] = (False,)
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
    def others(self) -> list[str]:
        """The engines for which networks are exported."""
        return [engine for engine in self.engines if engine != PYTORCH]
