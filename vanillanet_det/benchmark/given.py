"""Exported files that a user gives, beside the networks of configs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.config import Config
from torch import nn

from ..errors import UserError
from ..runtime.engines import open_engine
from ..runtime.metadata import Metadata
from .candidates import Say, Subject
from .exported import ExportedCandidate, exported_candidates
from .plan import Plan


@dataclass(frozen=True)
class GivenFile:
    """An exported file that can be used here.

    Attributes:
        path: The file.
        metadata: What it says of itself.
    """

    path: Path
    metadata: Metadata


def read_files(configs: Sequence[Config], plan: Plan) -> list[list[GivenFile]]:
    """Open the files of a plan, and find the config of each.

    Args:
        configs: The configs.
        plan: What to measure.

    Returns:
        For each config its files.

    Raises:
        UserError: A file can't be used, is of a part that isn't measured, or of no config.
    """
    files: list[list[GivenFile]] = [[] for _ in configs]
    for path in plan.exported:
        metadata = open_engine(path, device=str(plan.device)).metadata
        file = GivenFile(Path(path), metadata)
        if metadata.kind not in plan.parts:
            raise UserError(
                f"--exported {path}: is a {metadata.kind}'s file, but --part is "
                f"{' '.join(plan.parts)}; leave one of both out"
            )
        files[_find_config(file, configs)].append(file)
    return files


def _find_config(file: GivenFile, configs: Sequence[Config]) -> int:
    if len(configs) == 1:
        return 0
    names = [Path(cfg.filename).stem for cfg in configs]
    model = file.metadata.model
    found = [index for index, name in enumerate(names) if name == model]
    if len(found) != 1:
        raise UserError(
            f"--exported {file.path}: is of the config {model!r}, and {len(found) or 'none'} of "
            f"those given ({', '.join(names)}) have this name; measure it with its own config"
        )
    return found[0]


def given_candidates(
    subject: Subject, files: Sequence[GivenFile], device: torch.device, say: Say
) -> Iterator[ExportedCandidate]:
    """Make the candidates of files.

    Args:
        subject: The network that they were made of.
        files: Its.
        device: Where to compute.
        say: Called with what is done.

    Raises:
        UserError: A file is of other classes, or fixed to what isn't measured.
    """
    for file in files:
        say(f"{subject.name}: opening {file.path.name}")
        part, notes, config = file.metadata.kind, [], Path(subject.cfg.filename).stem
        if file.metadata.model != config:
            notes.append(
                f"{file.path.name} was exported from the config {file.metadata.model!r}; GFLOPs, "
                f"parameters and the share of the limit are those of {config!r}."
            )
        if part == "detector":
            _check_classes(file, subject.network.model)
            if subject.network.checkpoint is None:
                notes.append(
                    f"{file.path.name} has its own weights, the other rows random ones, and more "
                    "boxes take more time; give the checkpoint that it was exported from, too."
                )
        own = dict(checkpoint=str(file.path), missing=[], notes=notes)
        candidates = list(exported_candidates(subject, part, file.path, None, device, **own))
        if not candidates:
            _refuse_inputs(file, subject)
        yield from candidates


def _check_classes(file: GivenFile, model: nn.Module) -> None:
    head = getattr(model, "roi_head", model).bbox_head
    head = head[0] if isinstance(head, nn.ModuleList) else head
    found = len(file.metadata.classes)
    if found != head.num_classes:
        raise UserError(
            f"--exported {file.path}: has {found} classes, but the config's detector "
            f"{head.num_classes}; measure it with the config that it was exported with"
        )


def _refuse_inputs(file: GivenFile, subject: Subject) -> None:
    size, number = file.metadata.input_size, file.metadata.batch_size
    fixed = [
        *([f"--input-size {size[0]}x{size[1]}"] if size else []),
        *([f"--batch-size {number}"] if number else []),
    ]
    measured = sorted({" x ".join(map(str, s)) for i in subject.inputs for s in i.different})
    raise UserError(
        f"--exported {file.path}: is fixed to {' and '.join(fixed)}, and what is measured here is "
        f"{', '.join(measured)}; measure with these options, or export it without"
    )
