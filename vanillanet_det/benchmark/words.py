"""How tables and plots name what was measured."""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

from ..runtime.engines import ENDINGS
from .rows import Machine, Row

FORMS = {"training": "training form", "deploy": "fused", "only": "nothing to fuse"}
"""Form of a row -> words for it."""


def machine_line(machine: Machine) -> str:
    """Name a machine, its threads, versions, and the environment variables that are set."""
    where = [f"{machine.name} ({machine.device})"]
    if machine.device == "cpu":
        where.append(f"{machine.threads} thread{'s' if machine.threads > 1 else ''}")
    versions = [f"{name} {version}" for name, version in machine.versions.items()]
    environment = [f"{name}={value}" for name, value in machine.environment.items()]
    return "; ".join(", ".join(words) for words in (where, versions, environment) if words)


def layout(row: Row) -> str:
    """Name the layout of a row, and whether torch.compile made it; or the engine of a file.

    The file is named, too, where it was given, or isn't computed in its own precision.
    """
    if row.layout is not None:
        return f"{row.layout}, compiled" if row.compiled else row.layout
    file = Path(row.checkpoint or "")
    if file.suffix in ENDINGS:
        return f"{row.engine}, {file.name}"
    same = row.file_precision == row.precision
    return row.engine if same else f"{row.engine}, {row.file_precision} file"


def shapes(row: Row) -> str:
    """Write the input of a row: `1 x 3 x 320 x 320`, or how many shapes and their range."""
    if not row.input_shapes:
        return ""
    sides = [
        f"{min(side)}" if min(side) == max(side) else f"{min(side)}-{max(side)}"
        for side in zip(*row.input_shapes)
    ]
    count = len(row.input_shapes)
    return " x ".join(sides) if count == 1 else f"{count} shapes, {' x '.join(sides)}"


def _size(row: Row) -> str:
    one = len(row.input_shapes) == 1
    return "{} x {}".format(*row.input_shapes[0][2:]) if one else shapes(row)


def digits(value: float) -> str:
    """Write a positive number with three digits, or all of them before the point."""
    after = 2 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:.{max(after, 0)}f}"


def rate(operations: float) -> str:
    """Write operations per second with a unit."""
    if operations < 1e12:
        return f"{digits(operations / 1e9)} GFLOP/s"
    return f"{digits(operations / 1e12)} TFLOP/s"


def labels(rows: Sequence[Row], width: int = 30) -> list[str]:
    """Name each row in a few short lines.

    Args:
        rows: Rows that stand beside each other.
        width: Letters in a line.

    Returns:
        For each row its config, form, precision, and whatever else isn't the same in all.
    """
    varied = [
        words
        for words in (layout, lambda row: f"batch size {row.batch_size}", _size)
        if len({words(row) for row in rows}) > 1
    ]
    texts = []
    for row in rows:
        words = ", ".join([FORMS[row.form], row.precision, *(word(row) for word in varied)])
        # Lines break behind commas alone.
        tail = ", ".join(word.replace(" ", "\u00a0") for word in words.split(", "))
        texts.append("\n".join([*wrap(row.config, width), *wrap(tail, width)]))
    return texts


def wrap(text: str, width: int) -> list[str]:
    """Break text into lines, at spaces and behind underscores."""
    lines = textwrap.wrap(text.replace("_", "_ "), width, break_on_hyphens=False)
    return [line.replace("_ ", "_") for line in lines]
