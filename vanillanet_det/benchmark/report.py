"""Reports of a benchmark: text, Markdown, CSV and JSON."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Optional

from tabulate import tabulate

from ..analysis.published import DETECTOR_SIZE, PublishedDetector
from ..analysis.table import markdown
from ..fileio import without_folders
from .results import Machine, Result, Row

_MEANING = """\
- Input: images x channels x height x width of the network's input; a range if there are several.
- ms, p10, p90: median, 10th and 90th percentile of the time of one batch. FPS: images per second
  at the median.
- Ratio: speedup over the first row of the same network, part, batch size and input; the
  interquartile mean over the rounds.
- GFLOPs: billions of multiply-accumulates for one image of the first shape. Achieved: operations
  per second, two per multiply-accumulate; ~ marks rows whose FLOPs are those of the first of
  several shapes. Of limit: share of the speed of a large matrix product in the same precision here.
- Peak MB: peak memory of one batch, parameters included, in millions of bytes.
- Boxes: mean number of detections per image, which affects the time of post-processing.
- Fused: VanillaNet in its deployed form, in fp32 with the normalisation of images in its stem;
  in other networks the BatchNorms of backbone and neck are folded into the convolutions.
- Layout: with auto, the faster layout for the first size, before compiling. For an exported file,
  its engine. Such a file is always fused, with the normalisation and padding of uint8 images
  inside; its GFLOPs are those of the fused network, and its memory isn't measured.
- Missing: tensors of the network that its checkpoint lacks."""

_HEADER = (
    *("network", "form", "precision", "layout", "input", "ms", "p10", "p90", "FPS", "ratio"),
    *("GFLOPs", "achieved", "of limit", "peak MB", "boxes", "missing"),
)
_SHORT = ("network", "form", "precision", "layout", "ms", "FPS", "ratio", "of limit")


def text_report(result: Result) -> str:
    """Write a result for a terminal: the columns that fit, limits and notes.

    Args:
        result: A result with at least one row.

    Returns:
        The text, without a trailing newline.
    """
    blocks = [machine_line(result.machine)]
    for part in dict.fromkeys(row.part for row in result.rows):
        rows = [row for row in result.rows if row.part == part]
        for shape in dict.fromkeys(row.shape_name for row in rows):
            cells = [
                dict(zip(_HEADER, _cells(result, row))) for row in rows if row.shape_name == shape
            ]
            lines = [[line[name] for name in _SHORT] for line in cells]
            blocks += [f"{part}, {shape}", tabulate(lines, _SHORT, disable_numparse=True)]
    return "\n\n".join([*blocks, *_weights(result), *limits_and_notes(result)])


def _weights(result: Result) -> list[str]:
    """List the networks with random weights or incomplete checkpoints."""
    lines = []
    for row in result.rows:
        if row.checkpoint is None:
            lines.append(f"- {row.config}: random weights")
        elif row.missing:
            lines.append(f"- {row.config}: {len(row.missing)} tensors missing in {row.checkpoint}")
    return ["\n".join(dict.fromkeys(lines))] if lines else []


def markdown_report(result: Result) -> str:
    """Write a result in Markdown: machine, a table for each part, limits, notes, and meanings.

    Args:
        result: A result with at least one row.

    Returns:
        The text, without a trailing newline.
    """
    blocks = [machine_line(result.machine)]
    for part in dict.fromkeys(row.part for row in result.rows):
        lines = [_cells(result, row) for row in result.rows if row.part == part]
        blocks += [f"**{part.capitalize()}**", markdown(_HEADER, lines)]
    return "\n\n".join([*blocks, *limits_and_notes(result), _MEANING])


def limits_and_notes(result: Result) -> list[str]:
    """List the limits, and what the reader must know, as paragraphs."""
    limits = [f"- matrix product, {p}: {rate(v)}" for p, v in result.machine.limits.items()]
    notes = [f"- {note}" for note in _notes(result)]
    return ["\n".join(block) for block in (limits, notes) if block]


def csv_text(result: Result) -> str:
    """Write the rows as CSV, without the individual measurements.

    Args:
        result: The measurements.

    Returns:
        The text. Times are in seconds; names in a cell are joined by spaces, sentences by
        newlines.
    """
    lines = [_csv_line(result, row) for row in result.rows]
    file = io.StringIO()
    writer = csv.DictWriter(file, list(lines[0]) if lines else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return file.getvalue()


def json_text(result: Result) -> str:
    """Write all measurements as JSON.

    Args:
        result: The measurements.

    Returns:
        An object with `machine` and `rows`, each with the attributes of `Machine` and `Row`.
        Each row also has `median`, `p10`, `p90` (seconds), `fps`, `flop_rate` (operations per
        second), `share` (of the limit) and `ratio` (to the first row of its kind).
    """
    rows = [dict(asdict(row), **_derived(result, row)) for row in result.rows]
    content = dict(
        machine=asdict(result.machine), flops_are="multiply-accumulates of one image", rows=rows
    )
    return json.dumps(without_folders(content), indent=2, allow_nan=False)


def published_report(result: Result, published: Mapping[str, PublishedDetector]) -> str:
    """Write the published COCO table with the measured speed beside the published speed.

    Args:
        result: Rows of detectors at batch size 1 are shown; rows in the training form only if the
            fused form wasn't measured.
        published: Name of the config -> published row.

    Returns:
        A table with a line for each measured row, or an empty one for an unmeasured detector,
        and an explanation.
    """
    header = ["framework", "backbone", "measured as", "input", "FLOPs G", "params M", "FPS here"]
    header += ["ms", "FPS published", "box AP (published)", "mask AP (published)"]
    lines = [
        _published_cells(figures, row)
        for config, figures in published.items()
        for row in _single_image_rows(result, config) or [None]
    ]
    height, width = DETECTOR_SIZE
    return "\n\n".join(
        [
            machine_line(result.machine),
            markdown(header, lines),
            "AP is published and was not measured here. FLOPs and params: counted here / "
            f"published; published FLOPs are for {height} x {width}, those counted here for the "
            "input in the table.\nPublished FPS are from the authors' GPU at batch size 1. "
            "*: counted, not published.",
        ]
    )


def _cells(result: Result, row: Row) -> list[str]:
    figures = _derived(result, row)
    # FLOPs are those of the first shape, but times are those of all shapes.
    about = "~" if len(row.input_shapes) > 1 else ""
    share = figures["share"]
    return [
        row.config,
        row.form_name,
        row.precision,
        row.layout_name,
        row.shape_name,
        *(digits(1e3 * figures[key]) for key in ("median", "p10", "p90")),
        digits(row.fps),
        f"{figures['ratio']:.2f}x",
        _number(row.flops, 1e9, ".1f"),
        "" if row.flop_rate is None else about + rate(row.flop_rate),
        "" if share is None else f"{about}{100 * share:.0f} %",
        _number(row.peak_bytes, 1e6, ".0f"),
        _number(row.boxes, 1, ".1f"),
        "random weights" if row.checkpoint is None else str(len(row.missing)),
    ]


def _number(value: Optional[float], unit: float, form: str) -> str:
    return "" if value is None else format(value / unit, form)


def _derived(result: Result, row: Row) -> dict[str, Optional[float]]:
    return dict(
        median=row.median,
        p10=row.percentile(10),
        p90=row.percentile(90),
        fps=row.fps,
        flop_rate=row.flop_rate,
        share=result.share(row),
        ratio=row.ratio(_first(result.rows, row)),
    )


def _first(rows: Sequence[Row], row: Row) -> Row:
    return next(other for other in rows if other.kind == row.kind)


def _notes(result: Result) -> list[str]:
    configs = {row.config for row in result.rows}
    configs_of: dict[str, dict[str, None]] = {}
    for row in result.rows:
        for note in row.notes:
            configs_of.setdefault(note, {})[row.config] = None
    machine = list(dict.fromkeys(result.machine.notes))
    return machine + [
        note if set(names) == configs else f"{note} ({', '.join(names)})"
        for note, names in configs_of.items()
        if note not in machine
    ]


def _csv_line(result: Result, row: Row) -> dict[str, Any]:
    machine = result.machine
    line = dict(device=machine.device, machine=machine.name, threads=machine.threads, **asdict(row))
    del line["seconds"]
    return dict(
        line,
        input_shapes=" ".join("x".join(map(str, shape)) for shape in row.input_shapes),
        parts=" ".join(f"{name}={seconds}" for name, seconds in row.parts.items()),
        missing=" ".join(row.missing),
        notes="\n".join(row.notes),
        rounds=len(row.seconds),
        **_derived(result, row),
        limit=machine.limits.get(row.precision),
    )


def _single_image_rows(result: Result, config: str) -> list[Row]:
    rows = [
        row
        for row in result.rows
        if (row.config, row.part, row.batch_size) == (config, "detector", 1)
    ]
    return [row for row in rows if row.form != "training"] or rows


def _published_cells(figures: PublishedDetector, row: Optional[Row]) -> list[str]:
    mark = "*" if figures.counted else ""
    flops = "" if row is None else _number(row.flops, 1e9, ".1f")
    parameters = "" if row is None else f"{row.parameters / 1e6:.2f}"
    measured = ["", ""] if row is None else [digits(row.fps), digits(1e3 * row.median)]
    return [
        figures.framework,
        figures.backbone,
        "" if row is None else f"{row.form_name}, {row.precision}, {row.layout_name}",
        "" if row is None else row.shape_name,
        f"{flops} / {figures.flops}{mark}",
        f"{parameters} / {figures.parameters}{mark}",
        *measured,
        *("" if ap is None else str(ap) for ap in (figures.fps, figures.box_ap, figures.mask_ap)),
    ]


def machine_line(machine: Machine) -> str:
    """Describe a machine: name, threads, versions, and environment variables that are set."""
    where = [f"{machine.name} ({machine.device})"]
    if machine.device == "cpu":
        where.append(f"{machine.threads} thread{'s' if machine.threads > 1 else ''}")
    versions = [f"{name} {version}" for name, version in machine.versions.items()]
    environment = [f"{name}={value}" for name, value in machine.environment.items()]
    return "; ".join(", ".join(group) for group in (where, versions, environment) if group)


def digits(value: float) -> str:
    """Format a positive number with three significant digits, or as an integer from 100 on."""
    after = 2 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:.{max(after, 0)}f}"


def rate(operations: float) -> str:
    """Format operations per second with a unit."""
    if operations < 1e12:
        return f"{digits(operations / 1e9)} GFLOP/s"
    return f"{digits(operations / 1e12)} TFLOP/s"
