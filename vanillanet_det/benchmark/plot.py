"""Speed against operations, and where the time goes, as a picture."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Optional, Union

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from ..errors import UserError
from ..fileio import atomic_write
from .labels import Labels
from .rows import Result, Row
from .words import digits, labels, machine_line, wrap

# Okabe and Ito's colours, which the colour-blind tell apart, too.
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
_OPERATIONS = (
    "GFLOPs per image (multiply-accumulates)\n"
    "limit: a large matrix product in the same precision, measured here"
)
_SMALL = 8
_PAPER = dict(facecolor="white", edgecolor="none", alpha=0.7, pad=0.5)


def plot(result: Result, path: Union[str, Path]) -> None:
    """Draw a result into a PNG file.

    To the left, images per second against operations of each detector, or of each backbone if
    there are no detectors; to the right, milliseconds of a batch by part.

    Args:
        result: With at least one row.
        path: The file to write or replace; it is either whole or not there.

    Raises:
        UserError: It can't be written.
    """
    figure = draw(result)
    try:
        with atomic_write(path) as file:
            figure.savefig(file, format="png")
    except OSError as error:
        raise UserError(f"{path}: can't be written ({error.strerror or error})") from error


def draw(result: Result) -> Figure:
    """Draw a result.

    Args:
        result: With at least one row.

    Returns:
        The figure that `plot` writes.
    """
    rows = [row for row in result.rows if row.part == "detector"] or result.rows
    names = labels(rows)
    lines = 1 + max(name.count("\n") for name in names)
    height = max(5.5, 1.8 + len(rows) * max(0.55, 0.15 * lines))
    # Text keeps its size, so that there is room for every label in the end.
    while True:
        figure = _draw(result, rows, names, height)
        if figure is not None:
            return figure
        height *= 1.2


def _draw(
    result: Result, rows: Sequence[Row], names: Sequence[str], height: float
) -> Optional[Figure]:
    parted = [(name, row) for name, row in zip(names, rows) if row.parts]
    figure = Figure((16 if parted else 9, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    title = wrap(machine_line(result.machine), 150 if parted else 85)
    figure.suptitle("\n".join(title), fontsize=10)
    speed, *others = figure.subplots(1, 2 if parted else 1, squeeze=False)[0]
    points = _draw_points(speed, rows, names)
    if parted and not _draw_bars(figure, others[0], parted):
        return None
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    placed = Labels(speed, [point for _, point in points])
    _draw_guides(speed, placed, result, rows)
    fits = all(placed.put_near(name, point, fontsize=_SMALL, bbox=_PAPER) for name, point in points)
    return figure if fits else None


def _draw_points(
    axes: Axes, rows: Sequence[Row], names: Sequence[str]
) -> list[tuple[str, tuple[float, float]]]:
    configs = list(dict.fromkeys(row.config for row in rows))
    points = []
    for row, name in zip(rows, names):
        if row.flops:
            points.append((name, (row.flops / 1e9, row.fps)))
            colour = _NETWORK_COLOURS[configs.index(row.config) % len(_NETWORK_COLOURS)]
            axes.plot(*points[-1][1], _MARKERS[row.form], color=colour, markersize=7, zorder=3)
    axes.set(xscale="log", yscale="log", ylabel="images per second (median)")
    axes.set_title(f"Speed of the {rows[0].part} against its operations", fontsize=11)
    uncounted = [
        f"{' '.join(name.split())}: {digits(row.fps)} images per second"
        for row, name in zip(rows, names)
        if not row.flops
    ]
    missing = [line for text in uncounted for line in wrap(f"not counted, {text}", 75)]
    axes.set_xlabel("\n".join([_OPERATIONS, *missing]))
    if points:
        for axis, values in zip("xy", zip(*(point for _, point in points))):
            axes.set(**{f"{axis}lim": (min(values) / 2.5, max(values) * 2.5)})
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    return points


def _draw_guides(axes: Axes, placed: Labels, result: Result, rows: Sequence[Row]) -> None:
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    x = np.geomspace(right, left, 200)
    for precision in dict.fromkeys(row.precision for row in rows):
        for share in _SHARES:
            y = share * result.machine.limits.get(precision, 0) / (2e9 * x)
            seen = np.stack([x, y], axis=1)[(low < y) & (y < high)]
            name = f"{share:.0%} of the limit, {precision}"
            # One that only touches a corner may have no room for its label.
            if placed.put(name, seen, fontsize=7, color="0.4", bbox=_PAPER):
                axes.plot(*seen.T, _LINES[precision], color="0.8", linewidth=0.9, zorder=1)


def _draw_bars(figure: Figure, axes: Axes, parted: Sequence[tuple[str, Row]]) -> bool:
    # The deepest network has all stages of the others, in order.
    deepest = sorted((row.parts for _, row in parted), key=len, reverse=True)
    colours = _part_colours(list(dict.fromkeys(part for parts in deepest for part in parts)))
    axes.set_title("Where the time of a batch goes", fontsize=11)
    axes.set_xlabel("ms per batch")
    axes.set_ylim(len(parted) - 0.4, -0.6)
    axes.set_yticks(range(len(parted)), [name for name, _ in parted], fontsize=_SMALL)
    longest = 1e3 * max(sum(row.parts.values()) for _, row in parted)
    axes.set_xlim(0, 1.15 * longest)
    texts = []
    for place, (_, row) in enumerate(parted):
        end = 0.0
        for part, seconds in row.parts.items():
            width = 1e3 * seconds
            bar = axes.barh(place, width, 0.7, end, color=colours[part], edgecolor="white")[0]
            texts.append((bar, part, digits(width)))
            end += width
        axes.text(end + 0.01 * longest, place, f"{digits(end)} ms", va="center", fontsize=_SMALL)
    patches = [Patch(color=colour, label=part) for part, colour in colours.items()]
    # Letters are about 0.6 times as wide as high; a patch takes the room of six.
    widest = 0.6 * _SMALL / 72 * (6 + max(map(len, colours)))
    columns = max(1, int(figure.get_figwidth() / widest))
    style = dict(loc="outside lower right", ncols=columns, fontsize=_SMALL)
    legend = figure.legend(handles=patches, **style)
    figure.draw_without_rendering()
    pitch = axes.bbox.height / (len(parted) + 0.2)
    if any(label.get_window_extent().height > pitch for label in axes.get_yticklabels()):
        return False
    labelled = [_label_bar(axes, *text) for text in texts]
    if all(labelled):
        legend.remove()
    return True


def _label_bar(axes: Axes, bar: Rectangle, part: str, milliseconds: str) -> bool:
    luminance = np.dot(bar.get_facecolor()[:3], (0.3, 0.59, 0.11))
    room = bar.get_window_extent()
    centre = (bar.get_x() + bar.get_width() / 2, bar.get_y() + bar.get_height() / 2)
    broken = part.replace(" ", "\n")
    for text in (f"{part}\n{milliseconds}", f"{broken}\n{milliseconds}", milliseconds):
        label = axes.text(*centre, text, ha="center", va="center", fontsize=_SMALL)
        label.set_color("white" if luminance < 0.5 else "black")
        size = label.get_window_extent()
        if size.width + 4 < room.width and size.height < room.height:
            return text != milliseconds
        label.remove()
    return False


def _part_colours(parts: Sequence[str]) -> dict[str, tuple[float, ...]]:
    families: dict[str, list[str]] = {}
    for part in parts:
        colour = next(c for pattern, c in _PART_COLOURS.items() if re.search(pattern, part.lower()))
        families.setdefault(colour, []).append(part)
    shades = {}
    for colour, members in families.items():
        for part, white in zip(members, np.linspace(0, 0.7, len(members))):
            shades[part] = tuple((1 - white) * np.array(to_rgb(colour)) + white)
    return {part: shades[part] for part in parts}
