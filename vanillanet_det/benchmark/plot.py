"""A plot of speed against operations, and of the time that each part takes."""

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Union

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from ..errors import UserError
from ..fileio import atomic_write
from .report import digits, machine_line, rate
from .results import Result, Row, row_names

# Okabe and Ito's colours, which colour-blind readers can tell apart.
_BLUE, _ORANGE, _GREEN, _PURPLE, _YELLOW, _RED, _SKY, _GREY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#F0E442",
    "#D55E00",
    "#56B4E9",
    "#999999",
)
_PART_COLOURS = {
    r"^backbone": _BLUE,
    r"^pre": _YELLOW,
    r"nms|^post": _PURPLE,
    r"neck": _ORANGE,
    r"pool": _SKY,
    r"head": _GREEN,
    r"": _GREY,
}
_NETWORK_COLOURS = (_BLUE, _RED, _GREEN, _PURPLE, _ORANGE, _SKY, "black")
_MARKERS = {"training": "o", "deploy": "s", "only": "D"}
_LINES = {"fp32": "-", "bf16": "--", "fp16": ":"}
_SHARES = (0.1, 0.25, 0.5, 1.0)
_SMALL = 8


def plot(result: Result, path: Union[str, Path]) -> None:
    """Plot a result, and save it as a PNG file.

    The left panel shows images per second against operations for each detector, or for each
    backbone if there are no detectors. The right panel shows the milliseconds of a batch by part.
    Numbers in both panels refer to the legend.

    Args:
        result: A result with at least one row.
        path: The file to write or replace; it is never left incomplete.

    Raises:
        UserError: The file can't be written.
    """
    save(draw(result), path)


def save(figure: Figure, path: Union[str, Path]) -> None:
    """Save a figure as a PNG file.

    Args:
        figure: The figure.
        path: The file to write or replace; it is never left incomplete.

    Raises:
        UserError: The file can't be written.
    """
    try:
        with atomic_write(path) as file:
            figure.savefig(file, format="png")
    except OSError as error:
        raise UserError(
            f"{path}: can't be written ({error.strerror or error}); choose another path"
        ) from error


def draw(result: Result) -> Figure:
    """Draw a result.

    Args:
        result: A result with at least one row.

    Returns:
        The figure that `plot` writes.
    """
    rows = [row for row in result.rows if row.part == "detector"] or result.rows
    numbered = dict(enumerate(rows, 1))
    timed = {number: row for number, row in numbered.items() if row.parts}
    letters = 190 if timed else 100  # letters that fit the width
    names = ["\n".join(textwrap.wrap(name, letters)) for name in row_names(rows)]
    lines = sum(1 + name.count("\n") for name in names)
    parts = len({part for row in timed.values() for part in row.parts})
    height = max(6, 1 + 0.17 * parts) + 0.17 * lines  # inches, with room for both legends
    figure = Figure((16 if timed else 9, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    title = textwrap.wrap(machine_line(result.machine), 150 if timed else 85)
    figure.suptitle("\n".join(title), fontsize=10)
    panels = figure.subplots(1, 2 if timed else 1, squeeze=False)[0]
    handles = _draw_points(panels[0], numbered, names) + _draw_limits(panels[0], result, rows)
    figure.legend(handles=handles, loc="outside lower left", fontsize=_SMALL)
    if timed:
        patches = _draw_bars(panels[1], timed)
        figure.legend(handles=patches, loc="outside right upper", fontsize=_SMALL)
    return figure


def _draw_points(axes: Axes, numbered: dict[int, Row], names: Sequence[str]) -> list[Line2D]:
    """Draw a numbered marker for each row; return the legend."""
    rows = numbered.values()
    configs = list(dict.fromkeys(row.config for row in rows))
    points, handles = [], []
    for (number, row), name in zip(numbered.items(), names):
        colour = _NETWORK_COLOURS[configs.index(row.config) % len(_NETWORK_COLOURS)]
        style = dict(marker=_MARKERS[row.form], color=colour, linestyle="none")
        label = f"{number}  {name}: {digits(row.fps)} images per second"
        if row.flops:
            points.append((row.flops / 1e9, row.fps))
            # Each marker covers the earlier ones with their numbers.
            axes.plot(*points[-1], markersize=13, zorder=2 + number, **style)
            text = dict(ha="center", va="center", fontsize=_SMALL, zorder=2 + number)
            axes.text(*points[-1], str(number), color=_contrast(colour), **text)
        else:
            label += ", operations not counted"
        handles.append(Line2D([], [], label=label, **style))
    axes.set(xscale="log", yscale="log", ylabel="images per second (median)")
    axes.set_xlabel("GFLOPs per image (multiply-accumulates)")
    part = next(iter(rows)).part
    axes.set_title(f"Speed of the {part} against its operations", fontsize=11)
    for axis, values in zip("xy", zip(*points)):
        axes.set(**{f"{axis}lim": (min(values) / 2.5, max(values) * 2.5)})
    for axis in (axes.xaxis, axes.yaxis):
        label_plainly(axis)
    return handles


def label_plainly(axis: Axis) -> None:
    """Label a logarithmic axis with plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _draw_limits(axes: Axes, result: Result, rows: Sequence[Row]) -> list[Line2D]:
    """Draw lines at shares of the matrix product's speed in each precision; return the legend."""
    ends = np.array(axes.get_xlim())
    handles = []
    for precision in dict.fromkeys(row.precision for row in rows):
        limit = result.machine.limits.get(precision)
        if not limit:
            continue
        style = dict(linestyle=_LINES[precision], color="0.7")
        for share in _SHARES:
            speed = share * limit / (2e9 * ends)
            axes.plot(ends, speed, scalex=False, scaley=False, linewidth=0.5 + share, **style)
        shares = ", ".join(f"{100 * share:g}" for share in _SHARES)
        name = f"{shares} % of the limit, {precision}: matrix product, {rate(limit)}"
        handles.append(Line2D([], [], label=name, **style))
    return handles


def _draw_bars(axes: Axes, timed: dict[int, Row]) -> list[Patch]:
    """Draw the time of each part as a stacked bar for each row; return the legend."""
    # The deepest network has all stages of the others, in order.
    deepest = sorted((row.parts for row in timed.values()), key=len, reverse=True)
    colours = _part_colours(list(dict.fromkeys(part for parts in deepest for part in parts)))
    axes.set_title("Time of a batch by part", fontsize=11)
    axes.set_xlabel("ms per batch")
    axes.set_ylim(len(timed) - 0.4, -0.6)
    axes.set_yticks(range(len(timed)), list(map(str, timed)))
    longest = 1e3 * max(sum(row.parts.values()) for row in timed.values())
    axes.set_xlim(0, 1.15 * longest)
    text = dict(va="center", fontsize=_SMALL)
    for place, row in enumerate(timed.values()):
        end = 0.0
        for part, seconds in row.parts.items():
            width = 1e3 * seconds
            axes.barh(place, width, 0.7, end, color=colours[part], edgecolor="white")
            if width > 0.06 * longest:
                middle, colour = end + width / 2, _contrast(colours[part])
                axes.text(middle, place, digits(width), ha="center", color=colour, **text)
            end += width
        axes.text(end + 0.01 * longest, place, f"{digits(end)} ms", **text)
    return [Patch(color=colour, label=part) for part, colour in colours.items()]


def _contrast(colour: Union[str, Sequence[float]]) -> str:
    """Choose white or black text for a background."""
    return "white" if np.dot(to_rgb(colour), (0.3, 0.59, 0.11)) < 0.5 else "black"


def _part_colours(parts: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Assign shades of one colour to parts of the same kind."""
    families: dict[str, list[str]] = {}
    for part in parts:
        colour = next(c for pattern, c in _PART_COLOURS.items() if re.search(pattern, part.lower()))
        families.setdefault(colour, []).append(part)
    shades = {}
    for colour, members in families.items():
        for part, white in zip(members, np.linspace(0, 0.7, len(members))):
            shades[part] = tuple((1 - white) * np.array(to_rgb(colour)) + white)
    return {part: shades[part] for part in parts}
