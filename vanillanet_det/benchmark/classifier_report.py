"""Report on the published classifiers: whether latency follows depth or FLOPs."""

from collections.abc import Sequence

from scipy.stats import spearmanr

from ..analysis.published import CLASSIFIER_SIZE, CLASSIFIER_TABLE
from ..analysis.table import markdown
from .report import digits, limits_and_notes, machine_line
from .results import Result, Row, row_names

_REFERENCE = "ResNet-50"


def classifier_report(result: Result) -> str:
    """Write measured latencies beside the published ones, and what they follow.

    Args:
        result: Rows of classifiers, see `classifier_candidates`.

    Returns:
        A table with a line for each row, and the rank correlations of latency with the number of
        layers in sequence and with FLOPs, here and as published.
    """
    header = ["network", "layers", "params M", "FLOPs G", "ms here", "of ResNet-50", "of limit"]
    header += ["published: ms", "of ResNet-50", "images per s, here / published", "top-1"]
    names = row_names(result.rows)
    lines = [[name, *_cells(result, row)] for name, row in zip(names, result.rows)]
    blocks = [machine_line(result.machine), markdown(header, lines), _findings(result)]
    return "\n\n".join([*blocks, *limits_and_notes(result)])


def _cells(result: Result, row: Row) -> list[str]:
    published, share = CLASSIFIER_TABLE[row.config], result.share(row)
    reference = next(other for other in result.rows if _is_reference(other, row))
    ours = CLASSIFIER_TABLE[_REFERENCE].latency
    latency = published.latency if _as_published(row) else None
    flops = f" / {published.flops}" if _as_published(row) and published.flops else ""
    shape = row.input_shapes[0]
    throughput = published.throughput.get(shape[2:])
    return [
        str(row.layers),
        f"{row.parameters / 1e6:.1f} / {published.parameters}",
        f"{'' if row.flops is None else f'{row.flops / 1e9:.1f}'}{flops}",
        digits(1e3 * row.median),
        f"{1 / row.ratio(reference):.2f}x",
        "" if share is None else f"{100 * share:.0f} %",
        "" if latency is None else f"{latency:.2f}",
        "" if latency is None else f"{latency / ours:.2f}x",
        f"{digits(shape[0] / row.median)}{f' / {throughput}' if throughput else ''}",
        f"{published.top1:.1f}",
    ]


def _is_reference(reference: Row, row: Row) -> bool:
    """Return whether a row is ResNet-50 measured like another row."""
    if reference.config != _REFERENCE or _settings(reference) != _settings(row):
        return False
    return reference.form == row.form or reference.form == "deploy"


def _settings(row: Row) -> tuple:
    return (row.precision, row.mode, *row.kind[1:])


def _as_published(row: Row) -> bool:
    """Return whether a row has the published size and number of images."""
    return row.input_shapes == [(1, 3, *CLASSIFIER_SIZE)]


def _findings(result: Result) -> str:
    fused = fused_rows(result)
    here = [1e3 * row.median for row in fused]
    lines = []
    if len(fused) > 2 and any(row.config.startswith("VanillaNet") for row in fused):
        how = f"{fused[0].precision}, {fused[0].shape_name}"
        lines.append(f"Rank correlation of latency here ({how}): {_correlations(fused, here)}.")
    known = [row for row in fused if CLASSIFIER_TABLE[row.config].latency is not None]
    published = [CLASSIFIER_TABLE[row.config].latency for row in known]
    if len(known) > 2:
        lines.append(f"Rank correlation of published latency: {_correlations(known, published)}.")
    lines.append(
        "Layers: convolutions and matrix products in sequence, series activations included. "
        "Params, FLOPs: counted here / published. Weights are random, on which a classifier's time "
        "doesn't depend. Images per s are published in batches of 256. Accuracy is published and "
        "was not measured here."
    )
    return "\n".join(lines)


def _correlations(rows: Sequence[Row], latencies: Sequence[float]) -> str:
    values = {
        "layers": [row.layers for row in rows],
        "FLOPs": [row.flops for row in rows],
    }
    found = {
        name: spearmanr(each, latencies).statistic
        for name, each in values.items()
        if None not in each
    }
    return ", ".join(f"{value:.2f} with {name}" for name, value in found.items())


def fused_rows(result: Result) -> list[Row]:
    """Return the row of each classifier that is comparable with the first row.

    It has the precision and the images of the first row; it is fused, if that was measured, and in
    the faster layout.
    """
    rows = [row for row in result.rows if _settings(row) == _settings(result.rows[0])]
    names = dict.fromkeys(row.config for row in rows)
    return [
        min((r for r in rows if r.config == name), key=lambda r: (r.form == "training", r.median))
        for name in names
    ]
