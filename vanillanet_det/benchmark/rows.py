"""What a benchmark measured: rows that carry all that is needed to judge them."""

import statistics
from dataclasses import dataclass, field
from typing import Any, Optional

PRECISIONS = ("fp32", "bf16", "fp16")
LAYOUTS = ("contiguous", "channels-last")


@dataclass
class Row:
    """Times of one network, in one form, on one shape of input.

    Attributes:
        config: Name of the config file, without folder and ending.
        part: `backbone`, or `detector` for everything from a uint8 image to its boxes.
        form: `training`, `deploy` (fused), or `only` where nothing can be fused.
        precision: One of `PRECISIONS`, or `int8`: what is really computed in.
        layout: One of `LAYOUTS`, of kernels and features; None for an exported file, whose
            engine chooses its own.
        compiled: Whether torch.compile made it.
        batch_size: Images in a batch.
        input_shapes: Shapes `(N, C, H, W)` that the network really saw, without repetition.
        flops: Multiply-accumulates of one image of the first of these shapes, or None where
            they can't be counted; of an exported file, those of its config's fused form.
        parameters: Number of parameters; of an exported file, likewise.
        seconds: Of each measured batch, one for each round.
        peak_bytes: Memory at its highest in one batch: parameters and what is computed; None
            where it isn't known, as of an exported file, whose engine keeps what it once took.
        boxes: Detections per image, on average over the pictures timed; None for a backbone.
        parts: Seconds of one batch by part, in the order of their computing; of a detector in
            PyTorch.
        checkpoint: File of the weights, a checkpoint or an exported file that was given; None
            for random ones.
        missing: Tensors of the network that the checkpoint lacks.
        notes: Whole sentences that a reader of the row must know.
        engine: What computes it, `PyTorch`, or with its version `ONNX Runtime 1.32.0`.
        file_precision: Precision of the exported file; None in PyTorch.
    """

    config: str
    part: str
    form: str
    precision: str
    layout: Optional[str]
    compiled: bool
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

    @property
    def kind(self) -> tuple[Any, ...]:
        """What rows have in common that can be compared: network, part and input."""
        return self.config, self.part, self.batch_size, *self.input_shapes

    @property
    def median(self) -> float:
        """Median time of a batch in seconds."""
        return statistics.median(self.seconds)

    def percentile(self, percent: int) -> float:
        """A percentile of the time of a batch in seconds; 10 and 90 are what tables show."""
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
        """Operations per second, two for each multiply-accumulate; None if not counted."""
        return None if self.flops is None else 2 * self.flops * self.fps

    def ratio(self, other: "Row") -> float:
        """How many times as long another row takes, the mean over the middle half of the rounds.

        Rows of one run were measured in turn, so that what else the machine did fell on both
        in the same round and leaves their ratio. Where it fell on one of them alone, the round
        is at an end of the sorted ratios, and a quarter is cut off at each.
        """
        ratios = sorted(b / a for a, b in zip(self.seconds, other.seconds))
        cut = len(ratios) // 4
        return statistics.mean(ratios[cut : len(ratios) - cut])


@dataclass
class Machine:
    """Where a benchmark ran, and the most that could be expected there.

    Attributes:
        device: Such as `cpu` or `cuda:0`.
        name: Of the processor or GPU.
        threads: Of PyTorch, and of any other engine, for a CPU.
        versions: Name -> version, of Python and of the libraries that compute.
        environment: Environment variables that change speed, if set.
        limits: Precision -> operations per second of a large matrix product, two for each
            multiply-accumulate, the median over the rounds of the same run.
        notes: Whole sentences, such as that the processor has no instructions for bf16.
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
    """One run.

    Attributes:
        machine: Where it ran.
        rows: What was measured, in the order it was asked for.
    """

    machine: Machine
    rows: list[Row]

    def share(self, row: Row) -> Optional[float]:
        """Speed of a row as a share of the matrix product in its precision, or None."""
        limit = self.machine.limits.get(row.precision)
        return None if not limit or row.flop_rate is None else row.flop_rate / limit
