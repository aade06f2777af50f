"""A benchmark from configs to rows."""

import copy
import itertools
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Optional

import torch
from mmengine.config import Config
from torch import nn
from tqdm import tqdm

from ..analysis.forms import count_form
from ..analysis.meta import build_on_meta
from ..data_preprocessors import fold_normalization
from ..layers import switch_to_deploy
from .images import evaluation_pipeline, find_pictures, make_batches
from .machine import DTYPES, describe_machine, matrix_product, peak_bytes, same_tf32, synchronize
from .networks import Network, compile_parts, fuse, load_network, set_layout
from .parts import part_times
from .precision import to_precision
from .rows import LAYOUTS, Result, Row
from .timing import interleaved, seconds_of

Size = Optional[tuple[int, int]]


@dataclass(frozen=True)
class Plan:
    """What to measure: every combination of these.

    Attributes:
        forms: Of `training` and `deploy`.
        precisions: Of `PRECISIONS`.
        layouts: Of `LAYOUTS`, and `auto` for whichever is faster.
        compiled: Of False and True.
        sizes: Height and width of images; None for what the config's pipeline makes.
        batch_sizes: Images in a batch.
        parts: Of `backbone` and `detector`.
        images: Folder of pictures, or None for embedded ones.
        device: Where to compute.
        budget: Seconds to measure.
        rounds: How many rounds, whatever they take; None for as many as fit.
    """

    forms: tuple[str, ...] = ("training", "deploy")
    precisions: tuple[str, ...] = ("fp32",)
    layouts: tuple[str, ...] = ("auto",)
    compiled: tuple[bool, ...] = (False,)
    sizes: tuple[Size, ...] = (None,)
    batch_sizes: tuple[int, ...] = (1,)
    parts: tuple[str, ...] = ("backbone", "detector")
    images: Optional[str] = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    budget: float = 75.0
    rounds: Optional[int] = None


@dataclass
class _Candidate:
    row: Row
    model: nn.Module
    inputs: list[Any]
    firsts: list[int]  # one input of each shape, for what is compiled or tuned by shape

    def __call__(self, number: int) -> int:
        """Compute one batch; returns how many boxes were found."""
        batch = self.inputs[number % len(self.inputs)]
        if self.row.part == "backbone":
            self.model.backbone(batch)
            return 0
        return sum(len(sample.pred_instances) for sample in self.model.test_step(batch))


@torch.no_grad()
@same_tf32()
def run(configs: Sequence[tuple[str, Config, Optional[str]]], plan: Plan) -> Result:
    """Measure detectors, all in turn.

    Args:
        configs: Name, config and checkpoint of each; no checkpoint means random weights.
        plan: What to measure.

    Returns:
        What was measured.

    Raises:
        UserError: Pictures, a pipeline or a checkpoint that don't do, or a network that can't be
            fused yet.
        Exception: What a constructor or a network raises.
    """
    machine = describe_machine(plan.device, plan.precisions)
    wait = partial(synchronize, plan.device)
    with tqdm(total=1.0, bar_format="{l_bar}{bar}| {elapsed}", leave=False) as bar:
        candidates: list[_Candidate] = []
        for name, cfg, checkpoint in configs:
            bar.set_description(f"{name}: building")
            candidates += _candidates(name, cfg, checkpoint, plan, bar.set_description)
        # What is compared with one another runs one after the other.
        kinds = list(dict.fromkeys(candidate.row.kind for candidate in candidates))
        candidates.sort(key=lambda candidate: kinds.index(candidate.row.kind))
        products = {p: matrix_product(p, plan.device) for p in plan.precisions}
        calls = [*candidates, *(lambda _, f=f: f() for f, _ in products.values())]
        titles = [_title(c.row) for c in candidates] + [f"matrix product, {p}" for p in products]
        for title, call in zip(titles, calls):
            bar.set_description(f"{title}: warming up")
            _warm_up(call, plan.device)

        def progress(index: int, share: float) -> None:
            bar.set_description(titles[index], refresh=False)
            bar.update(share - bar.n)

        times = interleaved(calls, wait, plan.budget, plan.rounds, progress)
        for candidate, seconds in zip(candidates, times):
            candidate.row.seconds = seconds
            if candidate.row.part == "detector" and not candidate.row.compiled:
                bar.set_description(f"{_title(candidate.row)}: parts")
                repeats = 3 if candidate.row.median < 1 else 1
                distances = [abs(second - candidate.row.median) for second in seconds]
                typical = distances.index(min(distances)) % len(candidate.inputs)
                batch = candidate.inputs[typical]
                candidate.row.parts = part_times(candidate.model, batch, repeats, wait)
    for (precision, (_, operations)), seconds in zip(products.items(), times[len(candidates) :]):
        machine.limits[precision] = operations / statistics.median(seconds)
    return Result(machine, [candidate.row for candidate in candidates])


def _title(row: Row) -> str:
    compiled = ", compiled" if row.compiled else ""
    return f"{row.config} {row.part}, {row.form}, {row.precision}{compiled}"


def _warm_up(call: Callable[[int], Any], device: torch.device) -> None:
    if not isinstance(call, _Candidate):
        call(0)
        return
    row = call.row
    boxes = [call(number) for number in call.firsts]
    if row.part == "detector":
        row.boxes = sum(boxes) / len(boxes) / row.batch_size
    extra = [peak_bytes(partial(call, number), device) for number in call.firsts]
    own = call.model.backbone if row.part == "backbone" else call.model
    row.parameters = sum(p.numel() for p in own.parameters())
    if None not in extra:
        weights = sum(p.nbytes for p in (*own.parameters(), *own.buffers()))
        row.peak_bytes = max(extra) + weights


def _candidates(
    name: str,
    cfg: Config,
    checkpoint: Optional[str],
    plan: Plan,
    say: Callable[[str], None],
) -> Iterator[_Candidate]:
    """Make a config's candidates: each network on each batch, its backbone and the whole."""
    pictures = find_pictures(plan.images)
    batches = [
        make_batches(pictures, evaluation_pipeline(cfg, size), batch_size)
        for size, batch_size in itertools.product(plan.sizes, plan.batch_sizes)
    ]
    networks = _forms(load_network(name, cfg, checkpoint, batches[0][0]), plan.forms)
    # Backbone and detector each have weights of their own, since each has its best layout.
    choices = (networks, plan.precisions, plan.layouts, plan.compiled, plan.parts)
    counted: dict[tuple, dict[str, int]] = {}
    for network, precision, layout, compiled, part in itertools.product(*choices):
        say(f"{name} {part}, {network.form}, {precision}: preparing")
        model = copy.deepcopy(network.model)
        if network.form == "deploy" and precision == "fp32":
            fold_normalization(model)
        to_precision(model, DTYPES[precision])
        model.to(plan.device)
        candidates = []
        for inputs in batches:
            images = [model.data_preprocessor(batch, False)["inputs"] for batch in inputs]
            all_shapes = [tuple(image.shape) for image in images]
            shapes = list(dict.fromkeys(all_shapes))
            key = network.form, shapes[0][2:]
            if key not in counted:
                counted[key] = _count(cfg, *key)
            row = Row(
                network.config,
                part,
                network.form,
                precision,
                layout,
                compiled,
                batch_size=shapes[0][0],
                input_shapes=shapes,
                flops=counted[key].get(part),
                checkpoint=network.checkpoint,
                missing=network.missing,
                notes=network.notes,
            )
            firsts = [all_shapes.index(shape) for shape in shapes]
            chosen = images if part == "backbone" else inputs
            candidates.append(_Candidate(row, model, chosen, firsts))
        used = _settle_layout(candidates[0], plan.device)
        if compiled:
            compile_parts(model, plan.device)
        for candidate in candidates:
            candidate.row.layout = used
            yield candidate


def _forms(network: Network, forms: Sequence[str]) -> list[Network]:
    """Bring a network into the forms asked for; one that can't be fused has but one."""
    fused = fuse(network) if "deploy" in forms else network
    if fused.form == "only":
        return [fused]
    return list({n.form: n for n in (fused if f == "deploy" else network for f in forms)}.values())


def _settle_layout(candidate: _Candidate, device: torch.device) -> str:
    """Bring a model into its row's layout, or into the one that is clearly faster on a batch."""
    if candidate.row.layout != "auto":
        set_layout(candidate.model, candidate.row.layout)
        return candidate.row.layout
    call, wait = partial(candidate, 0), partial(synchronize, device)
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


def _count(cfg: Config, form: str, size: tuple[int, int]) -> dict[str, int]:
    """Count multiply-accumulates of one image; nothing where they can't be counted."""
    try:
        model = build_on_meta(cfg.model)
        counted = count_form(switch_to_deploy(model) if form == "deploy" else model, size)
    except Exception:  # a model that reads values of tensors, or takes no such size
        return {}
    if counted.uncounted:
        return {}
    return {"backbone": counted.parts["backbone"].flops, "detector": counted.total.flops}
