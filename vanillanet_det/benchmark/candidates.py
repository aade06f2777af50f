"""What candidates of a benchmark have in common, whatever computes them."""

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
from .plan import Plan
from .rows import Row


@dataclass(frozen=True)
class Inputs:
    """Batches of one size and number of images.

    Attributes:
        batches: As `make_batches` prepares them.
        shapes: Shape `(N, C, H, W)` of each, as the network sees it.
    """

    batches: list[dict[str, list]]
    shapes: list[tuple[int, ...]]

    @property
    def different(self) -> list[tuple[int, ...]]:
        """The shapes, without repetition."""
        return list(dict.fromkeys(self.shapes))

    @property
    def firsts(self) -> list[int]:
        """One batch of each shape, for what is compiled or tuned by shape."""
        return [self.shapes.index(shape) for shape in self.different]


class Candidate:
    """What is called for a row.

    Args:
        row: The row, which its figures are written into.
        inputs: What it computes.
    """

    def __init__(self, row: Row, inputs: Inputs) -> None:
        self.row, self.inputs = row, inputs
        self._boxes: dict[int, int] = {}

    def __call__(self, number: int) -> None:
        """Compute one batch, the next in each round."""
        index = number % len(self.inputs.batches)
        self._boxes[index] = self.compute(index)

    def compute(self, index: int) -> int:
        """Compute a batch; returns how many boxes were found."""
        raise NotImplementedError

    def warm_up(self) -> None:
        """Compute a batch of each shape, and note what isn't a time."""
        for index in self.inputs.firsts:
            self.compute(index)

    def note(self, seconds: list[float]) -> None:
        """Note times, one for each round, and what was found in them."""
        self.row.seconds = seconds
        timed, there = len(self._boxes), len(self.inputs.batches)
        if self.row.part == "detector":
            self.row.boxes = sum(self._boxes.values()) / timed / self.row.batch_size
        if timed < there:
            self.row.notes = [
                *self.row.notes,
                f"{timed} of {there} batches of pictures were timed: --rounds {there} times all.",
            ]

    def time_parts(self) -> None:
        """Note where the time goes, if that can be seen; after the measurement."""


class Subject:
    """A config's network, and what it is measured on.

    Args:
        name: What tables call it.
        cfg: The config.
        checkpoint: File of its weights; None for random ones.
        plan: What to measure.

    Raises:
        UserError: As `find_images`, `evaluation_pipeline`, `make_batches` and `load_network`.
    """

    def __init__(self, name: str, cfg: Config, checkpoint: Optional[str], plan: Plan) -> None:
        pictures = find_images(plan.images)
        batches = [
            make_batches(pictures, evaluation_pipeline(cfg, size), batch_size)
            for size, batch_size in itertools.product(plan.sizes, plan.batch_sizes)
        ]
        self.name, self.cfg = name, cfg
        self.network = load_network(name, cfg, checkpoint, batches[0][0])
        see = self.network.model.data_preprocessor
        self.inputs = [
            Inputs(found, [tuple(see(batch, False)["inputs"].shape) for batch in found])
            for found in batches
        ]
        self._counted: dict[tuple, dict[str, int]] = {}

    @cached_property
    def fused(self) -> Network:
        """The network as it is deployed, see `fuse`."""
        return fuse(self.network)

    def in_forms(self, forms: Sequence[str]) -> list[Network]:
        """Bring the network into the forms asked for; one that can't be fused has but one."""
        fused = self.fused if "deploy" in forms else self.network
        if fused.form == "only":
            return [fused]
        networks = [fused if form == "deploy" else self.network for form in forms]
        return list({network.form: network for network in networks}.values())

    def make_row(self, network: Network, part: str, inputs: Inputs, **values: Any) -> Row:
        """Begin a row.

        Args:
            network: One of this subject's.
            part: `backbone` or `detector`.
            inputs: One of this subject's.
            values: Of the row, its other attributes.
        """
        shapes = inputs.different
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
    """Count multiply-accumulates of one image; nothing where they can't be counted."""
    try:
        model = build_on_meta(cfg.model)
        counted = count_form(switch_to_deploy(model) if form == "deploy" else model, size)
    except Exception:  # a model that reads values of tensors, or takes no such size
        return {}
    if counted.uncounted:
        return {}
    return {"backbone": counted.parts["backbone"].flops, "detector": counted.total.flops}


Say = Callable[[str], Any]
"""Shows what is going on."""
