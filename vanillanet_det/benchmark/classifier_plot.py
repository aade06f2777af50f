"""The published plots of classifiers: accuracy against depth, and against latency."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Union

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.published import CLASSIFIER_TABLE
from .classifier_report import fused_rows
from .plot import label_plainly, save
from .report import machine_line
from .results import Result, Row


def plot_classifiers(result: Result, path: Union[str, Path]) -> None:
    """Plot published accuracy against depth and latency here, and save it as a PNG file.

    Args:
        result: Rows of classifiers.
        path: The file to write or replace; it is never left incomplete.

    Raises:
        UserError: The file can't be written.
    """
    rows = fused_rows(result)
    figure = Figure((13, 6), dpi=110, layout="constrained")
    title = textwrap.wrap(machine_line(result.machine), 150)
    figure.suptitle("\n".join(title), fontsize=8)
    depth, latency = figure.subplots(1, 2, sharey=True)
    _draw(depth, rows, [row.layers for row in rows], "convolutions and matrix products in sequence")
    _draw(latency, rows, [1e3 * row.median for row in rows], "ms per image here (median)")
    depth.set_ylabel("top-1 on ImageNet as published, %")
    save(figure, path)


def _draw(axes: Axes, rows: Sequence[Row], values: Sequence[float], label: str) -> None:
    axes.set(xscale="log", xlabel=label, xlim=(min(values) / 1.4, max(values) * 1.6))
    label_plainly(axes.xaxis)
    axes.grid(alpha=0.3)
    for own, colour, marker in ((True, "#D55E00", "o"), (False, "#0072B2", "s")):
        points = [
            (value, CLASSIFIER_TABLE[row.config].top1, row.config.removeprefix("VanillaNet-"))
            for row, value in zip(rows, values)
            if row.config.startswith("VanillaNet") == own
        ]
        x, y, names = zip(*points)
        line = "-" if own else "none"
        name = "VanillaNet" if own else "other networks"
        axes.plot(x, y, marker=marker, linestyle=line, color=colour, label=name)
        # Names of VanillaNets are left of their line, all others to the right.
        style = dict(ha="right" if own else "left", va="center", fontsize=7)
        for place, text in zip(zip(x, y), names):
            axes.annotate(text, place, (-7 if own else 7, 0), textcoords="offset points", **style)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2, frameon=False)
