"""Draws charts of curves: a PNG with all charts, or an SVG of each chart for the report."""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
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

# Okabe and Ito's palette for colour-blind readers, without yellow, which is hard to see as a line.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")
WIDTH = 344  # of an SVG in CSS pixels: one fits on a phone, three on a desktop
_HEIGHT = 230
_LEGEND_LINE = 18
_MAX_LETTERS = 19  # of a name, for a legend with two columns
_PIXELS_PER_INCH = 96
# A placeholder for the page's text colour, which matplotlib can't express.
_INK = "#010203"
_THEME = (
    "<style>:root{color:#222}@media(prefers-color-scheme:dark){:root{color:#ddd}}</style></defs>"
)
_SMOOTHING = 40  # half a window is the length of the curve divided by this

# Validation metrics to draw; if runs are compared, only the first two are drawn.
_KINDS = {
    "coco/bbox_mAP": "box AP",
    "coco/segm_mAP": "mask AP",
    "coco/bbox_mAP_50": "box AP50",
    "coco/segm_mAP_50": "mask AP50",
}
_ACCURACIES = {"accuracy/top1": "top-1", "accuracy/top5": "top-5"}
_LINES = (("-", "o"), ("--", "s"), ("-.", "^"), (":", "v"))

Panel = Callable[[Axes], None]


def draw_curves(
    curves: Curves, path: Union[str, Path], others: Optional[Mapping[str, Curves]] = None
) -> None:
    """Draw losses, AP, learning rate and, if logged, lambda to a PNG file.

    Args:
        curves: Curves of a run.
        path: The file, which is replaced atomically.
        others: Curves of other runs by name; their total loss and AP are also drawn.

    Raises:
        UserError: The file can't be written.
    """
    try:
        with atomic_write(path) as file:
            figure_of({"": curves, **(others or {})}).savefig(file, format="png")
    except OSError as error:
        raise UserError(f"{path}: can't be written ({error.strerror or error})") from error


def figure_of(runs: Mapping[str, Curves]) -> Figure:
    """Draw all panels side by side.

    Args:
        runs: Curves by name; the first is the run that the others are compared with.
    """
    panels = list(curve_panels(runs).values()) or [lambda axes: axes.set_title("Nothing logged")]
    figure = Figure((5.2 * len(panels), 5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    parts = np.ravel(figure.subfigures(1, len(panels)))
    for part, panel in zip(parts, panels):
        _draw(part, panel)
    return figure


def curve_panels(runs: Mapping[str, Curves]) -> dict[str, Panel]:
    """List the panels that have data.

    Args:
        runs: Curves by name; the first is the run that the others are compared with.

    Returns:
        Functions that draw a panel on axes, by the panel's name.
    """
    own = next(iter(runs.values()))
    panels: dict[str, Panel] = {}
    if any(run.losses for run in runs.values()):
        panels["losses"] = lambda axes: _draw_losses(axes, runs)
    for name, kinds in (("average precision", _KINDS), ("accuracy", _ACCURACIES)):
        if any(key in run.metrics for run in runs.values() for key in kinds):
            panels[name] = partial(_draw_metrics, runs=runs, name=name, kinds=kinds)
    if own.learning_rate:
        panels["learning rate"] = lambda axes: _draw_rate(axes, own.learning_rate)
    if own.act_lambda:
        panels["lambda"] = lambda axes: _draw_lambda(axes, own.act_lambda)
    return panels


def svg(panel: Panel) -> str:
    """Draw a panel as an SVG image that follows the light or dark theme of the page.

    Args:
        panel: Function that draws the panel on axes.

    Returns:
        A `data:` URL; the image is `WIDTH` CSS pixels wide.
    """
    with rc_context(
        {
            **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor"), _INK),
            **dict.fromkeys(("xtick.color", "ytick.color"), _INK),
            "font.size": 9,  # points: 12 CSS pixels
            "axes.titlesize": 9,
            "legend.fontsize": 9,
            "svg.hashsalt": "report",  # makes the output deterministic
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
    image = file.getvalue().replace(_INK, "currentColor").replace("</defs>", _THEME, 1)
    return "data:image/svg+xml;base64," + base64.b64encode(image.encode()).decode()


def legend_lines(legend) -> int:
    """Return the number of lines in a legend."""
    return ceil(len(legend.get_texts()) / legend._ncols)


def precision_recall_panel(
    curves: Mapping[str, Sequence[float]], others: Optional[Sequence[float]], count: int
) -> Panel:
    """Build a panel of precision-recall curves.

    Args:
        curves: Precision at COCO's 101 recall values, by class name.
        others: Mean over all other classes; None if there are no others.
        count: Number of the other classes.
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
        axes.set_title("Precision-recall, IoU 0.5")

    return draw


def _draw(figure: FigureBase, panel: Panel) -> None:
    axes = figure.subplots()
    panel(axes)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#888888", alpha=0.25, linewidth=0.6)
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        columns = 2 if max(map(len, labels)) <= _MAX_LETTERS else 1
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
    axes.set(ylabel="loss", title="Losses (smoothed; pale: raw)")


def _draw_metrics(
    axes: Axes, runs: Mapping[str, Curves], name: str, kinds: Mapping[str, str]
) -> None:
    # One colour per run, one line style per metric.
    kinds = dict(list(kinds.items())[: 2 if len(runs) > 1 else None])
    for (run_name, run), colour in zip(runs.items(), _cycle(COLOURS)):
        for (key, label), (line, marker) in zip(kinds.items(), _LINES):
            if key in run.metrics:
                series = run.metrics[key]
                style = dict(linestyle=line, marker=marker, color=colour, markersize=4)
                axes.plot(series.x, series.y, label=_label(run_name, label), linewidth=1.6, **style)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_ylim(bottom=0)
    axes.set(xlabel="epoch", ylabel=name, title=f"Validation {name}")


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
    axes.set(ylabel="lambda", title="Lambda of deep training")


def _count_iterations(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlabel("iteration")


def _label(run: str, curve: str) -> str:
    return _plain(f"{run}: {curve}" if run else curve)


def _plain(name: str) -> str:
    """Escape a name that matplotlib would treat as a formula ($) or hide (leading _)."""
    return " " * name.startswith("_") + name.replace("$", r"\$")


def _cycle(colours: Sequence[str]) -> list[str]:
    return list(colours) * 10


def smoothed(series: Series) -> np.ndarray:
    """Compute a centred moving average, with shorter windows at both ends.

    Returns:
        The averages, one for each value; NaN if a window only contains NaN.
    """
    values = np.asarray(series.y, dtype=float)
    half = len(values) // _SMOOTHING
    finite = np.isfinite(values)
    sums = np.concatenate([[0], np.cumsum(np.where(finite, values, 0))])
    counts = np.concatenate([[0], np.cumsum(finite)])
    ends = np.minimum(np.arange(len(values)) + half + 1, len(values))
    begins = np.maximum(np.arange(len(values)) - half, 0)
    with np.errstate(invalid="ignore"):
        return (sums[ends] - sums[begins]) / (counts[ends] - counts[begins])
