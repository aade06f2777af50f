"""Running a benchmark: from configs to rows."""

import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Optional

import torch
from mmengine.config import Config
from tqdm import tqdm

from ..models.precision import DTYPES
from .candidates import Candidate, ShowStatus, Workload
from .exported import exported_candidates
from .exported_files import check_exports, export_files, find_user_files, user_files
from .machine import describe_machine, matrix_product, synchronize
from .pytorch import pytorch_candidates
from .results import Result, Row
from .settings import PYTORCH, BenchmarkSettings
from .timing import interleaved

NamedConfig = tuple[str, Config, Optional[str]]
"""Name, config, and checkpoint or None."""


@torch.no_grad()
def run(
    make_candidates: Callable[[BenchmarkSettings, ShowStatus], Iterable[Candidate]],
    settings: BenchmarkSettings,
) -> Result:
    """Measure networks in alternating rounds.

    Args:
        make_candidates: `classifier_candidates`, or `detector_candidates` of some configs.
        settings: What to measure.

    Returns:
        The measurements.

    Raises:
        UserError: Images, a pipeline, a checkpoint, an exported file or an engine can't be used,
            or a network can't be fused yet.
        Exception: Whatever a constructor or a network raises.
    """
    wait = partial(synchronize, settings.device)
    with tqdm(total=1.0, bar_format="{l_bar}{bar}| {elapsed}", leave=False) as bar:
        candidates = list(make_candidates(settings, bar.set_description))
        # Comparable candidates run one after the other.
        kinds = list(dict.fromkeys(candidate.row.kind for candidate in candidates))
        candidates.sort(key=lambda candidate: kinds.index(candidate.row.kind))
        rows = [candidate.row for candidate in candidates]
        precisions = [p for p in dict.fromkeys(row.precision for row in rows) if p in DTYPES]
        machine = describe_machine(settings.device, precisions)
        products = {p: matrix_product(p, settings.device) for p in precisions}
        titles = [_title(row) for row in rows] + [f"matrix product, {p}" for p in products]
        for title, candidate in zip(titles, candidates):
            bar.set_description(f"{title}: warming up")
            candidate.warm_up()
        for multiply, _ in products.values():
            multiply()

        def progress(index: int, share: float) -> None:
            bar.set_description(titles[index], refresh=False)
            bar.update(share - bar.n)

        calls = [*candidates, *(lambda _, f=f: f() for f, _ in products.values())]
        times = interleaved(calls, wait, settings.budget, settings.rounds, progress)
        for title, candidate, seconds in zip(titles, candidates, times):
            candidate.record(seconds)
            bar.set_description(f"{title}: parts")
            candidate.time_parts()
    for (precision, (_, operations)), seconds in zip(products.items(), times[len(rows) :]):
        machine.limits[precision] = operations / statistics.median(seconds)
    return Result(machine, rows)


def detector_candidates(
    configs: Sequence[NamedConfig], settings: BenchmarkSettings, show_status: ShowStatus
) -> Iterator[Candidate]:
    """Build the candidates of detectors, after the checks that take no time.

    Args:
        configs: Name, config and checkpoint of each detector; without a checkpoint, weights are
            random.
        settings: What to measure.
        show_status: Called with the current step.

    Raises:
        UserError: Images, a pipeline, a checkpoint, an exported file or an engine can't be used,
            or a network can't be fused yet.
    """
    check_exports([cfg for _, cfg, _ in configs], settings)
    files = find_user_files([cfg for _, cfg, _ in configs], settings)
    for index, (name, cfg, checkpoint) in enumerate(configs):
        show_status(f"{name}: building")
        workload = Workload(name, cfg, checkpoint, settings)
        measure = partial(exported_candidates, workload, device=settings.device)
        # Files are opened first, so that a wrong one is reported at once.
        opened = list(measure(user_files(workload, files[index], show_status)))
        if PYTORCH in settings.engines:
            yield from pytorch_candidates(workload, settings, show_status)
        yield from measure(export_files(workload, settings, show_status))
        yield from opened


def _title(row: Row) -> str:
    return f"{row.config} {row.part}, {row.form}, {row.precision}, {row.layout_name}"
