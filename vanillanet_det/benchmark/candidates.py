"""Candidates of a benchmark, in any engine, and the workload they share."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Optional

from mmengine.config import Config

from ..analysis.forms import count_form
from ..analysis.meta import build_on_meta
from ..datasets.sample_images import evaluation_pipeline, find_images, make_batches
from ..models.deploy import switch_to_deploy
from .networks import Network, fuse, load_network
from .results import Row
from .settings import BenchmarkSettings

ShowStatus = Callable[[str], Any]
"""Function that shows the current step of a benchmark."""


@dataclass(frozen=True)
class Inputs:
    """Batches of one batch size and image size.

    Attributes:
        batches: From `make_batches`.
        shapes: Shape `(N, C, H, W)` of the network's input, for each batch.
    """

    batches: list[dict[str, list]]
    shapes: list[tuple[int, ...]]

    @property
    def distinct_shapes(self) -> list[tuple[int, ...]]:
        """The distinct shapes, in order."""
        return list(dict.fromkeys(self.shapes))

    @property
    def firsts(self) -> list[int]:
        """Index of the first batch of each shape; engines compile and tune per shape."""
        return [self.shapes.index(shape) for shape in self.distinct_shapes]


class Candidate:
    """A network to time, and the row for its results.

    Args:
        row: The row, filled in during the measurement.
        inputs: Its batches.
    """

    def __init__(self, row: Row, inputs: Inputs) -> None:
        self.row, self.inputs = row, inputs
        self._boxes: dict[int, int] = {}

    def __call__(self, round_number: int) -> None:
        """Compute one batch; each round uses the next batch."""
        index = round_number % len(self.inputs.batches)
        self._boxes[index] = self.compute(index)

    def compute(self, index: int) -> int:
        """Compute a batch, and return the number of detections."""
        raise NotImplementedError

    def warm_up(self) -> None:
        """Compute a batch of each shape, before anything is timed."""
        for index in self.inputs.firsts:
            self.compute(index)

    def record(self, seconds: list[float]) -> None:
        """Record times, one per round, and the mean number of detections."""
        self.row.seconds = seconds
        timed, total = len(self._boxes), len(self.inputs.batches)
        if self.row.part == "detector":
            self.row.boxes = sum(self._boxes.values()) / timed / self.row.batch_size
        if timed < total:
            self.row.notes = [
                *self.row.notes,
                f"{timed} of {total} batches of images were timed; --rounds {total} times all.",
            ]

    def time_parts(self) -> None:
        """Record the time of each part, if the engine reports it, after the measurement."""


class Workload:
    """A config's network, and the inputs that it is measured on.

    Args:
        name: Its name in tables.
        cfg: The config.
        checkpoint: File of its weights; None for random ones.
        settings: What to measure.

    Raises:
        UserError: Raised by `find_images`, `evaluation_pipeline`, `make_batches` or `load_network`.
    """

    def __init__(
        self, name: str, cfg: Config, checkpoint: Optional[str], settings: BenchmarkSettings
    ) -> None:
        images = find_images(settings.images)
        batches = [
            make_batches(images, evaluation_pipeline(cfg, size), batch_size)
            for size, batch_size in itertools.product(settings.sizes, settings.batch_sizes)
        ]
        self.name, self.cfg = name, cfg
        self.network = load_network(name, cfg, checkpoint, batches[0][0])
        prepare = self.network.model.data_preprocessor
        self.inputs = [
            Inputs(group, [tuple(prepare(batch, False)["inputs"].shape) for batch in group])
            for group in batches
        ]
        self._counted: dict[tuple, dict[str, int]] = {}

    @cached_property
    def fused(self) -> Network:
        """The fused network, see `fuse`."""
        return fuse(self.network)

    def in_forms(self, forms: Sequence[str]) -> list[Network]:
        """Return the network in each form; only once if nothing can be fused."""
        fused = self.fused if "deploy" in forms else self.network
        if fused.form == "only":
            return [fused]
        networks = [fused if form == "deploy" else self.network for form in forms]
        return list({network.form: network for network in networks}.values())

    def make_row(self, network: Network, part: str, inputs: Inputs, **values: Any) -> Row:
        """Return a row without times.

        Args:
            network: This workload's network in one of its forms.
            part: `backbone` or `detector`.
            inputs: One of this workload's inputs.
            values: Further attributes of the row.
        """
        shapes = inputs.distinct_shapes
        own = network.model.backbone if part == "backbone" else network.model
        known = dict(
            input_shapes=shapes,
            flops=self._count(network.form, shapes[0][2:]).get(part),
            parameters=sum(parameter.numel() for parameter in own.parameters()),
            checkpoint=network.checkpoint,
            missing=network.missing,
            notes=list(network.notes),
        )
        return Row(self.name, part, network.form, batch_size=shapes[0][0], **{**known, **values})

    def _count(self, form: str, size: tuple[int, int]) -> dict[str, int]:
        if (form, size) not in self._counted:
            self._counted[form, size] = _count(self.cfg, form, size)
        return self._counted[form, size]


def _count(cfg: Config, form: str, size: tuple[int, int]) -> dict[str, int]:
    """Count the multiply-accumulates of one image by part; empty if they can't be counted."""
    try:
        model = build_on_meta(cfg.model)
        counted = count_form(switch_to_deploy(model) if form == "deploy" else model, size)
    except Exception:  # a model that reads tensor values, or that can't take this size
        return {}
    if counted.uncounted:
        return {}
    return {"backbone": counted.parts["backbone"].flops, "detector": counted.total.flops}
