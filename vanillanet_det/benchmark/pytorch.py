"""Networks in PyTorch: precisions and layouts."""

import copy
import itertools
import statistics
from collections.abc import Iterator
from functools import partial

import torch
from torch import nn

from ..models.cuda_graphs import graph
from ..models.precision import DTYPES, to_precision
from ..models.raw_pixels import fold_normalization
from .candidates import Candidate, Inputs, ShowStatus, Workload
from .machine import peak_bytes, synchronize
from .networks import compile_parts, set_layout
from .results import COMPILED, EAGER, GRAPH, LAYOUTS, Row
from .settings import BenchmarkSettings
from .timing import part_times, seconds_of


class PyTorchCandidate(Candidate):
    """A network that runs in PyTorch.

    Args:
        row: Its row.
        inputs: Its batches.
        model: The detector or classifier, on the device.
        device: Device to compute on.
    """

    def __init__(self, row: Row, inputs: Inputs, model: nn.Module, device: torch.device) -> None:
        super().__init__(row, inputs)
        self.model, self.device = model, device
        self._batches = inputs.batches
        if row.part == "backbone":
            prepare = model.data_preprocessor
            self._batches = [prepare(batch, False)["inputs"] for batch in inputs.batches]
        elif row.part == "classifier":
            like = next(model.parameters())
            self._batches = [batch.to(like) for batch in inputs.batches]

    @property
    def _network(self) -> nn.Module:
        return self.model.backbone if self.row.part == "backbone" else self.model

    def compute(self, index: int) -> int:
        """Compute a batch, and return the number of detections."""
        batch = self._batches[index]
        if self.row.part != "detector":
            self._network(batch)
            return 0
        return sum(len(sample.pred_instances) for sample in self.model.test_step(batch))

    def warm_up(self) -> None:
        """Compute a batch of each shape, and record the peak memory."""
        super().warm_up()
        firsts = self.inputs.firsts
        extra = [peak_bytes(partial(self.compute, index), self.device) for index in firsts]
        if None not in extra:
            tensors = (*self._network.parameters(), *self._network.buffers())
            weights = sum(tensor.nbytes for tensor in tensors)
            self.row.peak_bytes = max(extra) + weights

    def time_parts(self) -> None:
        """Record the time of each part for a typical batch."""
        row = self.row
        if row.part != "detector" or row.mode != EAGER:
            return
        distances = [abs(second - row.median) for second in row.seconds]
        typical = distances.index(min(distances)) % len(self._batches)
        repeats = 3 if row.median < 1 else 1
        wait = partial(synchronize, self.device)
        row.parts = part_times(self.model, self._batches[typical], repeats, wait)


def pytorch_candidates(
    workload: Workload, settings: BenchmarkSettings, show_status: ShowStatus
) -> Iterator[PyTorchCandidate]:
    """Build the PyTorch candidates of a network, in every combination of the settings.

    Args:
        workload: The network and its inputs.
        settings: What to measure.
        show_status: Called with the current step.

    Raises:
        UserError: The network can't be fused yet.
    """
    networks = workload.in_forms(settings.forms)
    # Backbone and detector get separate copies of the weights: their best layouts may differ.
    choices = (
        networks,
        settings.precisions,
        settings.layouts,
        settings.modes,
        settings.parts,
    )
    for network, precision, layout, mode, part in itertools.product(*choices):
        show_status(f"{workload.name} {part}, {network.form}, {precision}: preparing")
        model = copy.deepcopy(network.model)
        if network.form == "deploy" and precision == "fp32":
            fold_normalization(model)
        to_precision(model, DTYPES[precision])
        model.to(settings.device)
        values = dict(precision=precision, layout=layout, mode=mode)
        candidates = [
            PyTorchCandidate(
                workload.make_row(network, part, inputs, **values), inputs, model, settings.device
            )
            for inputs in workload.inputs
        ]
        used = _settle_layout(candidates[0])
        if mode == COMPILED:
            compile_parts(model, settings.device)
        elif mode == GRAPH:
            model = graph(model)
        for candidate in candidates:
            candidate.model, candidate.row.layout = model, used
            yield candidate


def _settle_layout(candidate: PyTorchCandidate) -> str:
    """Convert a model to the layout of its row, or to the faster layout for `auto`."""
    if candidate.row.layout != "auto":
        set_layout(candidate.model, candidate.row.layout)
        return candidate.row.layout
    call, wait = partial(candidate.compute, 0), partial(synchronize, candidate.device)
    seconds: dict[str, list[float]] = {name: [] for name in LAYOUTS}
    # The first trial is a warm-up. Layouts often differ less than two calls with the same layout,
    # and a wrong choice affects every ratio, so there are many trials.
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
