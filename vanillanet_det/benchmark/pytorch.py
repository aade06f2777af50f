"""Networks that PyTorch computes."""

import copy
import itertools
import statistics
from collections.abc import Iterator
from functools import partial

import torch
from torch import nn

from ..models.raw_pixels import fold_normalization
from .candidates import Candidate, Inputs, Say, Subject
from .machine import DTYPES, peak_bytes, synchronize
from .networks import compile_parts, set_layout
from .parts import part_times
from .plan import Plan
from .precision import to_precision
from .rows import LAYOUTS, Row
from .timing import seconds_of


class PyTorchCandidate(Candidate):
    """A network in PyTorch.

    Args:
        row: Its row.
        inputs: What it computes.
        model: The detector, on the device.
        device: Where it computes.
    """

    def __init__(self, row: Row, inputs: Inputs, model: nn.Module, device: torch.device) -> None:
        super().__init__(row, inputs)
        self.model, self.device = model, device
        self._batches = inputs.batches
        if row.part == "backbone":
            prepare = model.data_preprocessor
            self._batches = [prepare(batch, False)["inputs"] for batch in inputs.batches]

    def compute(self, index: int) -> int:
        """Compute a batch; returns how many boxes were found."""
        batch = self._batches[index]
        if self.row.part == "backbone":
            self.model.backbone(batch)
            return 0
        return sum(len(sample.pred_instances) for sample in self.model.test_step(batch))

    def warm_up(self) -> None:
        """Compute a batch of each shape, and note memory."""
        super().warm_up()
        firsts = self.inputs.firsts
        extra = [peak_bytes(partial(self.compute, index), self.device) for index in firsts]
        own = self.model.backbone if self.row.part == "backbone" else self.model
        if None not in extra:
            weights = sum(p.nbytes for p in (*own.parameters(), *own.buffers()))
            self.row.peak_bytes = max(extra) + weights

    def time_parts(self) -> None:
        """Note where the time of a typical batch goes."""
        row = self.row
        if row.part == "backbone" or row.compiled:
            return
        distances = [abs(second - row.median) for second in row.seconds]
        typical = distances.index(min(distances)) % len(self._batches)
        repeats = 3 if row.median < 1 else 1
        wait = partial(synchronize, self.device)
        row.parts = part_times(self.model, self._batches[typical], repeats, wait)


def pytorch_candidates(subject: Subject, plan: Plan, say: Say) -> Iterator[PyTorchCandidate]:
    """Make a network's candidates in PyTorch: its backbone and the whole, on each batch.

    Args:
        subject: The network.
        plan: What to measure.
        say: Called with what is done.

    Raises:
        UserError: The network can't be fused yet.
    """
    networks = subject.in_forms(plan.forms)
    # Backbone and detector each have weights of their own, since each has its best layout.
    choices = (networks, plan.precisions, plan.layouts, plan.compiled, plan.parts)
    for network, precision, layout, compiled, part in itertools.product(*choices):
        say(f"{subject.name} {part}, {network.form}, {precision}: preparing")
        model = copy.deepcopy(network.model)
        if network.form == "deploy" and precision == "fp32":
            fold_normalization(model)
        to_precision(model, DTYPES[precision])
        model.to(plan.device)
        values = dict(precision=precision, layout=layout, compiled=compiled)
        candidates = [
            PyTorchCandidate(
                subject.make_row(network, part, inputs, **values), inputs, model, plan.device
            )
            for inputs in subject.inputs
        ]
        used = _settle_layout(candidates[0])
        if compiled:
            compile_parts(model, plan.device)
        for candidate in candidates:
            candidate.row.layout = used
            yield candidate


def _settle_layout(candidate: PyTorchCandidate) -> str:
    """Bring a model into its row's layout, or into the one that is clearly faster on a batch."""
    if candidate.row.layout != "auto":
        set_layout(candidate.model, candidate.row.layout)
        return candidate.row.layout
    call, wait = partial(candidate.compute, 0), partial(synchronize, candidate.device)
    seconds: dict[str, list[float]] = {name: [] for name in LAYOUTS}
    # The first trial only warms up. The more of the others the better: what is between layouts
    # is often less than what is between two calls, and a wrong one is in every ratio.
    for trial in range(9):
        for name in LAYOUTS:
            set_layout(candidate.model, name)
            seconds[name].append(seconds_of(call, wait))
        if trial > 1 and sum(map(sum, seconds.values())) > 4:
            break
    contiguous, last = (seconds[name][1:] for name in LAYOUTS)
    fastest = LAYOUTS[statistics.median(b / a for a, b in zip(contiguous, last)) < 0.97]
    set_layout(candidate.model, fastest)
    return fastest
