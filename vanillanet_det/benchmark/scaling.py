"""A report on how time scales with image size and batch size."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Optional

import numpy as np

from ..analysis.table import markdown
from .report import digits
from .results import Result, Row


def scaling_report(result: Result) -> Optional[str]:
    """Report how the time of a batch scales with its pixels, and how linear the relation is.

    Args:
        result: The measurements. Rows with several input shapes are omitted, since their time isn't
            that of one size.

    Returns:
        A table and a least-squares line for each series with at least three image sizes at one
        batch size, or at least three batch sizes at one image size; None if there is no such
        series.
    """
    rows = [row for row in result.rows if len(row.input_shapes) == 1]
    blocks = []
    for same, varied, title, column in (
        (_batch, _size, "batch size {}", "image"),
        (_size, _batch, "images of {}", "batch size"),
    ):
        for series in _groups(rows, lambda row, same=same: (_kind(row), same(row))):
            if len({varied(row) for row in series}) >= 3:
                series = sorted(series, key=_megapixels)
                names = [varied(row) for row in series]
                blocks.append(_title(series[0], title.format(same(series[0]))))
                blocks.append(_table(series, names, column))
                blocks.append(_line(series, names))
    return "\n\n".join(blocks) or None


def _kind(row: Row) -> tuple[Any, ...]:
    return row.config, row.part, row.form, row.precision, row.layout_name


def _batch(row: Row) -> str:
    return str(row.batch_size)


def _size(row: Row) -> str:
    return "{} x {}".format(*row.input_shapes[0][2:])


def _megapixels(row: Row) -> float:
    images, _, height, width = row.input_shapes[0]
    return images * height * width / 1e6


def _groups(rows: Iterable[Row], key: Callable[[Row], Hashable]) -> Iterable[list[Row]]:
    groups: dict[Hashable, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups.values()


def _title(row: Row, same: str) -> str:
    what = f"{row.part}, {row.form_name}, {row.precision}, {row.layout_name}, {same}"
    return f"**{row.config}**, {what}"


def _table(series: Sequence[Row], names: Sequence[str], column: str) -> str:
    lines = [
        [
            name,
            f"{_megapixels(row):.3f}",
            digits(1e3 * row.median / row.batch_size),
            digits(1e3 * row.median / _megapixels(row)),
        ]
        for name, row in zip(names, series)
    ]
    return markdown([column, "megapixels", "ms per image", "ms per image and megapixel"], lines)


def _line(series: Sequence[Row], names: Sequence[str]) -> str:
    x = np.array([_megapixels(row) for row in series])
    y = np.array([1e3 * row.median for row in series])
    if np.ptp(x) == 0:
        return "All have the same number of pixels, so no line can be fitted."
    slope, start = np.polyfit(x, y, 1)
    off = y - (start + slope * x)
    spread = ((y - y.mean()) ** 2).sum()
    r_squared = 1 - (off**2).sum() / spread if spread else 1.0
    share = 100 * off / y
    worst = int(np.abs(share).argmax())
    sign = "-" if slope < 0 else "+"
    return (
        f"ms per batch = {start:.3g} {sign} {digits(abs(slope))} x megapixels, R² = "
        f"{r_squared:.4f}; the largest deviation is {share[worst]:+.1f} % of the measured time, "
        f"at {names[worst]}."
    )
