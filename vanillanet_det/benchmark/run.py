"""A benchmark from configs to rows."""

import statistics
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Optional

import torch
from mmengine.config import Config
from tqdm import tqdm

from .candidates import Candidate, Say, Subject
from .exporting import check_exports, written_candidates
from .given import given_candidates, read_files
from .machine import DTYPES, describe_machine, matrix_product, synchronize
from .plan import PYTORCH, Plan
from .pytorch import pytorch_candidates
from .rows import Result, Row
from .timing import interleaved
from .words import layout

Source = tuple[str, Config, Optional[str]]


@torch.no_grad()
def run(configs: Sequence[Source], plan: Plan) -> Result:
    """Measure detectors, all in turn.

    Args:
        configs: Name, config and checkpoint of each; no checkpoint means random weights.
        plan: What to measure.

    Returns:
        What was measured.

    Raises:
        UserError: Pictures, a pipeline or a checkpoint that don't do, a network that can't be
            fused yet, or an exported file or an engine that can't be used.
        Exception: What a constructor or a network raises.
    """
    wait = partial(synchronize, plan.device)
    with tqdm(total=1.0, bar_format="{l_bar}{bar}| {elapsed}", leave=False) as bar:
        candidates = list(_make_candidates(configs, plan, bar.set_description))
        # What is compared with one another runs one after the other.
        kinds = list(dict.fromkeys(candidate.row.kind for candidate in candidates))
        candidates.sort(key=lambda candidate: kinds.index(candidate.row.kind))
        rows = [candidate.row for candidate in candidates]
        precisions = [p for p in dict.fromkeys(row.precision for row in rows) if p in DTYPES]
        machine = describe_machine(plan.device, precisions)
        products = {p: matrix_product(p, plan.device) for p in precisions}
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
        times = interleaved(calls, wait, plan.budget, plan.rounds, progress)
        for title, candidate, seconds in zip(titles, candidates, times):
            candidate.note(seconds)
            bar.set_description(f"{title}: parts")
            candidate.time_parts()
    for (precision, (_, operations)), seconds in zip(products.items(), times[len(rows) :]):
        machine.limits[precision] = operations / statistics.median(seconds)
    return Result(machine, rows)


def _make_candidates(configs: Sequence[Source], plan: Plan, say: Say) -> Iterator[Candidate]:
    """Make all candidates, after a check of what can be checked before it takes time."""
    check_exports([cfg for _, cfg, _ in configs], plan)
    files = read_files([cfg for _, cfg, _ in configs], plan)
    for index, (name, cfg, checkpoint) in enumerate(configs):
        say(f"{name}: building")
        subject = Subject(name, cfg, checkpoint, plan)
        # Made first, for what is wrong with a file to be said at once.
        given = list(given_candidates(subject, files[index], plan.device, say))
        if PYTORCH in plan.engines:
            yield from pytorch_candidates(subject, plan, say)
        yield from written_candidates(subject, plan, say)
        yield from given


def _title(row: Row) -> str:
    return f"{row.config} {row.part}, {row.form}, {row.precision}, {layout(row)}"
