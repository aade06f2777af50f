"""Curves as pictures: a PNG of all of them, or one SVG each for the report."""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Optional, Union

import numpy as np
from matplotlib import rc_context, rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from ..errors import UserError
from ..fileio import atomic_write
from .curves import Curves, Series

# Okabe and Ito's colours, which the colour-blind tell apart, too; without the yellow, which is
# hard to see as a line.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")
WIDTH = 344  # of an SVG in CSS pixels: fits a telephone, and three of them a desktop
_HEIGHT = 230
_LEGEND_LINE = 18
_LETTERS = 19  # of a name, for two columns of them in a legend
_PIXELS_PER_INCH = 96
# Stands for the colour of text in what matplotlib writes, which can't name the reader's.
_INK = "#010203"
_THEME = (
    "<style>:root{color:#222}@media(prefers-color-scheme:dark){:root{color:#ddd}}</style></defs>"
)
_SMOOTHED_OVER = 40  # a smoothed loss is a mean over this part of the curve

# What is drawn of a validation; next to other runs the first two.
_KINDS = {
    "coco/bbox_mAP": "box AP",
    "coco/segm_mAP": "mask AP",
    "coco/bbox_mAP_50": "box AP50",
    "coco/segm_mAP_50": "mask AP50",
}
_LINES = (("-", "o"), ("--", "s"), ("-.", "^"), (":", "v"))

Panel = Callable[[Axes], None]


def draw_curves(
    curves: Curves, path: Union[str, Path], others: Optional[Mapping[str, Curves]] = None
) -> None:
    """Draw losses, AP, learning rate and lambda, if there is one, into a PNG file.

    Args:
        curves: Of a training.
        path: The file to write or replace; it is either whole or not there.
        others: Other trainings by name, whose total loss and AP are drawn beside.

    Raises:
        UserError: It can't be written.
    """
    try:
        with atomic_write(path) as file:
            figure_of({"": curves, **(others or {})}).savefig(file, format="png")
    except OSError as error:
        raise UserError(f"{path}: can't be written ({error.strerror or error})") from error


def figure_of(runs: Mapping[str, Curves]) -> Figure:
    """Draw all panels of curves beside each other.

    Args:
        runs: By name; the first is the one that the others are compared with.

    Returns:
        The figure that `draw_curves` writes.
    """
    panels = list(curve_panels(runs).values()) or [lambda axes: axes.set_title("Nothing logged")]
    figure = Figure((5.2 * len(panels), 5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    parts = np.ravel(figure.subfigures(1, len(panels)))
    for part, panel in zip(parts, panels):
        _draw(part, panel)
    return figure


def curve_panels(runs: Mapping[str, Curves]) -> dict[str, Panel]:
    """Tell which panels there is something for, and what draws them.

    Args:
        runs: By name; the first is the one that the others are compared with.

    Returns:
        By what it shows, a function that draws on axes.
    """
    own = next(iter(runs.values()))
    panels: dict[str, Panel] = {}
    if any(run.losses for run in runs.values()):
        panels["losses"] = lambda axes: _draw_losses(axes, runs)
    if any(run.figures for run in runs.values()):
        panels["average precision"] = lambda axes: _draw_precision(axes, runs)
    if own.learning_rate:
        panels["learning rate"] = lambda axes: _draw_rate(axes, own.learning_rate)
    if own.act_lambda:
        panels["lambda"] = lambda axes: _draw_lambda(axes, own.act_lambda)
    return panels


def svg(panel: Panel) -> str:
    """Draw a panel as an address that holds an SVG picture, light or dark as the reader's page.

    Args:
        panel: Draws on axes.

    Returns:
        A `data:` address; the picture is `WIDTH` CSS pixels wide.
    """
    with rc_context(
        {
            **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor"), _INK),
            **dict.fromkeys(("xtick.color", "ytick.color"), _INK),
            "font.size": 9,  # points: 12 CSS pixels
            "axes.titlesize": 9,
            "legend.fontsize": 9,
            "svg.hashsalt": "report",  # the same curves give the same file
        }
    ):
        figure = Figure((WIDTH / _PIXELS_PER_INCH, _HEIGHT / _PIXELS_PER_INCH))
        FigureCanvasAgg(figure)
        figure.set_layout_engine("constrained")
        _draw(figure, panel)
        lines = sum(legend_lines(legend) for legend in figure.legends)
        figure.set_figheight((_HEIGHT + lines * _LEGEND_LINE) / _PIXELS_PER_INCH)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    picture = file.getvalue().replace(_INK, "currentColor").replace("</defs>", _THEME, 1)
    return "data:image/svg+xml;base64," + base64.b64encode(picture.encode()).decode()


def legend_lines(legend) -> int:
    """Count the lines of a legend."""
    return ceil(len(legend.get_texts()) / legend._ncols)


def precision_recall_panel(
    curves: Mapping[str, Sequence[float]], others: Optional[Sequence[float]], count: int
) -> Panel:
    """Make what draws precision against recall.

    Args:
        curves: By what the class is called, precision at COCO's 101 recalls.
        others: The mean of the classes that are not named, if there are any.
        count: How many these are.
    """

    def draw(axes: Axes) -> None:
        recall = np.linspace(0, 1, 101)
        styles = [(colour, line) for line in ("-", "--") for colour in COLOURS]
        for (name, precision), (colour, line) in zip(curves.items(), styles):
            axes.plot(recall, precision, line, color=colour, label=_plain(name), linewidth=1.3)
        if others is not None:
            label = f"mean of {count} others"
            axes.plot(recall, others, ":", color=_ink(), label=label, linewidth=2)
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        axes.set_title("Precision against recall, IoU 0.5")

    return draw


def _draw(figure: FigureBase, panel: Panel) -> None:
    axes = figure.subplots()
    panel(axes)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#888888", alpha=0.25, linewidth=0.6)
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        columns = 2 if max(map(len, labels)) <= _LETTERS else 1
        figure.legend(
            handles, labels, loc="outside lower center", ncols=columns, frameon=False, borderpad=0
        )


def _ink() -> str:
    return rcParams["text.color"]


def _draw_losses(axes: Axes, runs: Mapping[str, Curves]) -> None:
    (name, own), *others = runs.items()
    highest = []
    total_first = sorted(own.losses.items(), key=lambda item: item[0] != "loss")
    for (loss, series), colour in zip(total_first, _cycle((_ink(), *COLOURS))):
        axes.plot(series.x, series.y, color=colour, alpha=0.25, linewidth=0.8)
        smooth = smoothed(series)
        axes.plot(series.x, smooth, color=colour, label=_label(name, loss), linewidth=1.6)
        highest += list(smooth)
    for (other, run), colour in zip(others, _cycle(COLOURS[1:])):
        if "loss" in run.losses:
            smooth = smoothed(run.losses["loss"])
            label = _label(other, "loss")
            axes.plot(run.losses["loss"].x, smooth, "--", color=colour, label=label)
            highest += list(smooth)
    if np.isfinite(highest).any():
        axes.set_ylim(0, 1.1 * np.max(np.compress(np.isfinite(highest), highest)) or 1)
    _count_iterations(axes)
    axes.set(ylabel="loss", title="Losses (smoothed; pale: as logged)")


def _draw_precision(axes: Axes, runs: Mapping[str, Curves]) -> None:
    others = len(runs) > 1
    # One colour for each run, one kind of line for each figure.
    kinds = dict(list(_KINDS.items())[: 2 if others else None])
    for (name, run), colour in zip(runs.items(), _cycle(COLOURS)):
        for (key, label), (line, marker) in zip(kinds.items(), _LINES):
            if key in run.figures:
                series = run.figures[key]
                style = dict(linestyle=line, marker=marker, color=colour, markersize=4)
                axes.plot(series.x, series.y, label=_label(name, label), linewidth=1.6, **style)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_ylim(bottom=0)
    axes.set(xlabel="epoch", ylabel="average precision", title="Average precision in validation")


def _draw_rate(axes: Axes, series: Series) -> None:
    axes.plot(series.x, series.y, color=COLOURS[0])
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    _count_iterations(axes)
    axes.set(ylabel="learning rate", title="Learning rate")


def _draw_lambda(axes: Axes, series: Series) -> None:
    axes.plot(series.x, series.y, color=COLOURS[0])
    axes.set_ylim(-0.02, 1.05)
    _count_iterations(axes)
    axes.set(ylabel="lambda", title="Lambda of the deep training")


def _count_iterations(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlabel("iteration")


def _label(run: str, curve: str) -> str:
    return _plain(f"{run}: {curve}" if run else curve)


def _plain(name: str) -> str:
    """Keep matplotlib from reading a formula between dollars, or leaving out what begins with _."""
    return " " * name.startswith("_") + name.replace("$", r"\$")


def _cycle(colours: Sequence[str]) -> list[str]:
    return list(colours) * 10


def smoothed(series: Series) -> np.ndarray:
    """Average a curve over a window around each point, and over less at its ends.

    Returns:
        As many values; NaN where all in a window are.
    """
    values = np.asarray(series.y, dtype=float)
    half = len(values) // _SMOOTHED_OVER
    counted = np.isfinite(values)
    sums = np.concatenate([[0], np.cumsum(np.where(counted, values, 0))])
    counts = np.concatenate([[0], np.cumsum(counted)])
    ends = np.minimum(np.arange(len(values)) + half + 1, len(values))
    begins = np.maximum(np.arange(len(values)) - half, 0)
    with np.errstate(invalid="ignore"):
        return (sums[ends] - sums[begins]) / (counts[ends] - counts[begins])
