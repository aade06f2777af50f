"""The results of a benchmark: one row for each network, form and input."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from ..runtime.engines import ENDINGS

PRECISIONS = ("fp32", "bf16", "fp16")
LAYOUTS = ("contiguous", "channels-last")
EAGER, COMPILED, GRAPH = MODES = ("eager", "compiled", "CUDA graph")
_FORMS = {"training": "training form", "deploy": "fused", "only": "nothing to fuse"}


@dataclass
class Row:
    """Times of one network, in one form, on one shape of input.

    Attributes:
        config: Name of the config file, without folder and suffix.
        part: `backbone`; `detector` for everything from a uint8 image to its boxes; or
            `classifier` for a whole one, from normalised images.
        form: `training`, `deploy` (fused), or `only` if nothing can be fused.
        precision: One of `PRECISIONS`, or `int8`: the precision of the computation.
        layout: Memory layout of kernels and features, one of `LAYOUTS`; None for an exported file,
            whose engine chooses its own layout.
        mode: How PyTorch runs it, one of `MODES`; None for an exported file.
        batch_size: Number of images in a batch.
        input_shapes: Distinct shapes `(N, C, H, W)` of the network's input.
        flops: Multiply-accumulates of one image of the first of these shapes, or None if they can't
            be counted; for an exported file, those of its config's fused form.
        parameters: Number of parameters; for an exported file, those of its config's fused form.
        seconds: Time of each measured batch, one per round.
        peak_bytes: Peak memory of one batch, parameters included; None if it isn't known, as for an
            exported file, whose engine keeps the memory it has allocated.
        boxes: Mean number of detections per timed image; only for a detector.
        parts: Seconds of one batch by part, in order of execution; only for a detector in PyTorch.
        checkpoint: File of the weights, a checkpoint or an exported file; None for random weights.
        missing: Tensors of the network that the checkpoint lacks.
        notes: Sentences that the reader of the row must know.
        engine: `PyTorch`, or the engine with its version, such as `ONNX Runtime 1.32.0`.
        file_precision: Precision of the exported file; None in PyTorch.
        layers: Convolutions and matrix products in sequence; only for a classifier.
    """

    config: str
    part: str
    form: str
    precision: str
    layout: Optional[str]
    mode: Optional[str]
    batch_size: int
    input_shapes: list[tuple[int, ...]] = field(default_factory=list)
    flops: Optional[int] = None
    parameters: int = 0
    seconds: list[float] = field(default_factory=list)
    peak_bytes: Optional[int] = None
    boxes: Optional[float] = None
    parts: dict[str, float] = field(default_factory=dict)
    checkpoint: Optional[str] = None
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    engine: str = "PyTorch"
    file_precision: Optional[str] = None
    layers: Optional[int] = None

    @property
    def kind(self) -> tuple[Any, ...]:
        """What comparable rows have in common: network, part and input."""
        return self.config, self.part, self.batch_size, *self.input_shapes

    @property
    def form_name(self) -> str:
        """The name of the form in tables."""
        return _FORMS[self.form]

    @property
    def layout_name(self) -> str:
        """The layout, and the mode unless it is eager; for an exported file, its engine.

        The name of a file passed by the user is included, as is the precision of a file if the
        engine computes in another precision.
        """
        if self.layout is not None:
            return self.layout if self.mode == EAGER else f"{self.layout}, {self.mode}"
        file = Path(self.checkpoint or "")
        if file.suffix.lower() in ENDINGS:
            return f"{self.engine}, {file.name}"
        if self.file_precision == self.precision:
            return self.engine
        return f"{self.engine}, {self.file_precision} file"

    @property
    def shape_name(self) -> str:
        """The input: `1 x 3 x 320 x 320`, or the number of shapes and their range."""
        if not self.input_shapes:
            return ""
        sides = [
            f"{min(side)}" if min(side) == max(side) else f"{min(side)}-{max(side)}"
            for side in zip(*self.input_shapes)
        ]
        count = len(self.input_shapes)
        return " x ".join(sides) if count == 1 else f"{count} shapes, {' x '.join(sides)}"

    @property
    def median(self) -> float:
        """Median time of a batch in seconds."""
        return statistics.median(self.seconds)

    def percentile(self, percent: int) -> float:
        """A percentile, from 1 to 99, of the time of a batch in seconds."""
        if len(self.seconds) == 1:
            return self.seconds[0]
        cuts = statistics.quantiles(self.seconds, n=100, method="inclusive")
        return cuts[percent - 1]

    @property
    def fps(self) -> float:
        """Images per second, at the median."""
        return self.batch_size / self.median

    @property
    def flop_rate(self) -> Optional[float]:
        """Operations per second, two per multiply-accumulate; None if not counted."""
        return None if self.flops is None else 2 * self.flops * self.fps

    def ratio(self, other: "Row") -> float:
        """Return the ratio of another row's time to this one's: the interquartile mean over rounds.

        Rows of one run take turns, so a slow phase of the machine affects both rows in the same
        round and cancels out in their ratio. If it affects only one row, the ratio of that round is
        an outlier, which the interquartile mean drops.
        """
        ratios = sorted(b / a for a, b in zip(self.seconds, other.seconds))
        cut = len(ratios) // 4
        return statistics.mean(ratios[cut : len(ratios) - cut])


@dataclass
class Machine:
    """The machine that a benchmark ran on, and its speed limit.

    Attributes:
        device: Device, such as `cpu` or `cuda:0`.
        name: Name of the processor or GPU.
        threads: Number of threads of PyTorch, and of every other engine on a CPU.
        versions: Name -> version, of Python and of the libraries that compute.
        environment: Environment variables that affect speed, if set.
        limits: Precision -> operations per second of a large matrix product, two per
            multiply-accumulate: the median over the rounds of the same run.
        notes: Sentences, such as that the processor has no instructions for bf16.
    """

    device: str
    name: str
    threads: int
    versions: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass
class Result:
    """The result of one run.

    Attributes:
        machine: The machine that it ran on.
        rows: The measurements, with comparable rows next to each other.
    """

    machine: Machine
    rows: list[Row]

    def share(self, row: Row) -> Optional[float]:
        """Return a row's speed as a share of the matrix product in its precision, or None."""
        limit = self.machine.limits.get(row.precision)
        return None if not limit or row.flop_rate is None else row.flop_rate / limit


def row_names(rows: Sequence[Row]) -> list[str]:
    """Return a name for each row: config, form, precision, and whatever differs between rows."""
    columns = [
        values
        for values in (
            [row.layout_name for row in rows],
            [f"batch size {row.batch_size}" for row in rows],
            [row.shape_name for row in rows],
        )
        if len(set(values)) > 1
    ]
    return [
        ", ".join([row.config, row.form_name, row.precision, *(values[i] for values in columns)])
        for i, row in enumerate(rows)
    ]
