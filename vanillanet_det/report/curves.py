"""The course of a training, from what MMEngine's LocalVisBackend has written."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional, Union

_ABSENT = -1  # what COCO's figures are where there is nothing to find


@dataclass(frozen=True)
class Series:
    """One curve.

    Attributes:
        x: Iterations or epochs, counted from 1 and rising.
        y: A value for each; NaN where a loss was none.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class Curves:
    """The course of a training.

    Attributes:
        losses: By name, `loss` being their sum; against iterations.
        learning_rate: Against iterations; with layer-wise decay, before the decay.
        act_lambda: Lambda of the deep training against iterations; None without one.
        figures: What the validations found by name, such as `coco/bbox_mAP`; against epochs.
    """

    losses: Mapping[str, Series] = field(default_factory=dict)
    learning_rate: Optional[Series] = None
    act_lambda: Optional[Series] = None
    figures: Mapping[str, Series] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.losses or self.figures)


@dataclass(frozen=True)
class _Line:
    step: float
    after: float  # the last training step before it
    values: Mapping[str, float]


def read_curves(work_dir: Union[str, Path]) -> Curves:
    """Read the course of a training from its work directory.

    All runs in it are one training: where a later one goes back to an earlier step, what was
    logged from that step on was thrown away, and is left out. A line that is no JSON, as a run
    that was killed may leave, is passed over.

    Args:
        work_dir: Folder with a run's `TIMESTAMP/vis_data/*.json`, or several.

    Returns:
        The curves; they are false where nothing was logged.
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
        figures=_series(validation, lambda name: "/" in name),
    )


def _read_lines(work_dir: Path) -> Iterator[dict]:
    # Folders of runs are named by their time.
    for folder in sorted(work_dir.glob("*/vis_data")):
        # MMEngine writes the same into TIMESTAMP.json.
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
        if name in line.values and line.values[name] != _ABSENT
    ]
    return Series(tuple(x for x, _ in points), tuple(y for _, y in points))
