"""Reads the curves of a training run from the logs of MMEngine's LocalVisBackend."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional, Union

_UNDEFINED = -1  # value of COCO metrics if there are no objects


@dataclass(frozen=True)
class Series:
    """A curve.

    Attributes:
        x: Iterations or epochs, counted from 1 and increasing.
        y: Values; NaN if a loss was NaN.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class Curves:
    """Curves of a training run.

    Attributes:
        losses: Losses by name, over iterations; `loss` is their sum.
        learning_rate: Learning rate over iterations; layer-wise decay isn't included.
        act_lambda: Lambda of the deep training strategy, over iterations; None if it isn't used.
        metrics: Validation metrics by name, such as `coco/bbox_mAP`, over epochs.
    """

    losses: Mapping[str, Series] = field(default_factory=dict)
    learning_rate: Optional[Series] = None
    act_lambda: Optional[Series] = None
    metrics: Mapping[str, Series] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.losses or self.metrics)


@dataclass(frozen=True)
class _Line:
    step: float
    after: float  # the last training step before this line
    values: Mapping[str, float]


def read_curves(work_dir: Union[str, Path]) -> Curves:
    """Read the curves of a training run from its work dir.

    All logs in the work dir are treated as one run. If the run was resumed at an earlier step, the
    values that had been logged from this step on are replaced. Lines that aren't valid JSON, which
    a killed run may leave, are skipped.

    Args:
        work_dir: Work dir with one or more files `TIMESTAMP/vis_data/*.json`.

    Returns:
        The curves, which are falsy if nothing was logged.
    """
    training: list[_Line] = []
    validation: list[_Line] = []
    for line in _read_lines(Path(work_dir)):
        step = line.get("step")
        if not _is_number(step):
            continue
        values = {
            name.partition("/")[2] if name.startswith(("train/", "val/")) else name: value
            for name, value in line.items()
            if _is_number(value)
        }
        if "iter" in values:
            _cut(training, step)
            while validation and validation[-1].after >= step:
                validation.pop()
            training.append(_Line(step, step, values))
        else:
            _cut(validation, step)
            validation.append(_Line(step, training[-1].step if training else 0, values))
    return Curves(
        losses=_series(training, lambda name: "loss" in name),
        learning_rate=_first(training, "base_lr", "lr"),
        act_lambda=_first(training, "act_lambda"),
        metrics=_series(validation, lambda name: "/" in name),
    )


def _read_lines(work_dir: Path) -> Iterator[dict]:
    # The name of each folder is its start time.
    for folder in sorted(work_dir.glob("*/vis_data")):
        # MMEngine writes the same lines to TIMESTAMP.json.
        files = [folder / "scalars.json"]
        if not files[0].is_file():
            files = sorted(folder.glob("*.json"))
        for file in files:
            for text in file.read_text(errors="replace").splitlines():
                try:
                    line = json.loads(text)
                except ValueError:
                    continue
                if isinstance(line, dict):
                    yield line


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _cut(lines: list[_Line], step: float) -> None:
    while lines and lines[-1].step >= step:
        lines.pop()


def _series(lines: list[_Line], wanted) -> dict[str, Series]:
    names = dict.fromkeys(name for line in lines for name in line.values if wanted(name))
    found = {name: _one(lines, name) for name in names}
    return {name: series for name, series in found.items() if series.x}


def _first(lines: list[_Line], *names: str) -> Optional[Series]:
    return next((series for name in names if (series := _one(lines, name)).x), None)


def _one(lines: list[_Line], name: str) -> Series:
    points = [
        (line.step, line.values[name])
        for line in lines
        if name in line.values and line.values[name] != _UNDEFINED
    ]
    return Series(tuple(x for x, _ in points), tuple(y for _, y in points))
