"""How time grows with pixels, in series whose line is known."""

from dataclasses import replace

import pytest
from markdown_tables import tables

from vanillanet_det.benchmark.results import COMPILED, Result
from vanillanet_det.benchmark.scaling import scaling_report


def timed(make_row, milliseconds, sizes=(320, 480, 640), batches=(1,), **other):
    """Rows whose time is a function of their megapixels."""
    rows = []
    for size in sizes:
        for batch in batches:
            seconds = [milliseconds(batch * size * size / 1e6) / 1e3]
            rows.append(make_row(size=(size, size), batch_size=batch, seconds=seconds, **other))
    return rows


@pytest.mark.parametrize(
    ("series", "first_column"),
    [
        (dict(sizes=(640, 320, 480)), ["320 x 320", "480 x 480", "640 x 640"]),
        (dict(sizes=(320,), batches=(4, 1, 2)), ["1", "2", "4"]),
    ],
)
def test_a_straight_line_is_found(machine, make_row, series, first_column):
    rows = timed(make_row, lambda megapixels: 20 + 500 * megapixels, **series)
    text = scaling_report(Result(machine, rows))
    (table,) = tables(text)
    assert [next(iter(row.values())) for row in table] == first_column
    assert table[0] | {"ms per image": "71.2"} == table[0]
    assert table[0]["ms per image and megapixel"] == "695"
    assert "ms per batch = 20 + 500 x megapixels, R² = 1.0000" in text


def test_time_per_image_is_of_one_image(machine, make_row):
    rows = timed(make_row, lambda megapixels: 1000 * megapixels, sizes=(500,), batches=(1, 2, 4))
    (table,) = tables(scaling_report(Result(machine, rows)))
    assert [row["ms per image"] for row in table] == ["250", "250", "250"]
    assert [row["ms per image and megapixel"] for row in table] == ["1000", "1000", "1000"]
    assert [row["megapixels"] for row in table] == ["0.250", "0.500", "1.000"]


def test_what_leaves_the_line_is_named(machine, make_row):
    rows = timed(make_row, lambda megapixels: 1000 * megapixels, sizes=(300, 400, 500, 600, 700))
    rows[2].seconds = [1.5 * rows[2].seconds[0]]
    x, y = [0.09, 0.16, 0.25, 0.36, 0.49], [90, 160, 375, 360, 490]
    slope = sum((a - 0.27) * (b - 295) for a, b in zip(x, y)) / sum((a - 0.27) ** 2 for a in x)
    off = [b - 295 - slope * (a - 0.27) for a, b in zip(x, y)]
    r_squared = 1 - sum(d**2 for d in off) / sum((b - 295) ** 2 for b in y)
    text = scaling_report(Result(machine, rows))
    assert f"= {295 - 0.27 * slope:.3g} + {slope:.0f} x megapixels, R² = {r_squared:.4f}" in text
    # The outlier lifts the line, which then is off most, in relation, at the smallest.
    assert f"{100 * off[0] / 90:+.1f} % of the measured time, at 300 x 300." in text


@pytest.mark.parametrize(
    "change",
    [
        dict(precision="bf16"),
        dict(form="training"),
        dict(mode=COMPILED),
        dict(layout="contiguous"),
        dict(config="other"),
        dict(part="backbone"),
        dict(input_shapes=[(1, 3, 640, 640), (1, 3, 320, 640)]),
        dict(input_shapes=[(1, 3, 480, 480)]),
    ],
)
def test_three_of_the_same_make_a_series(machine, make_row, change):
    rows = timed(make_row, lambda megapixels: 1000 * megapixels)
    assert scaling_report(Result(machine, rows))
    rows[-1] = replace(rows[-1], **change)
    assert scaling_report(Result(machine, rows)) is None


@pytest.mark.parametrize("change", [dict(engine="OpenVINO 2026.4.1"), dict(file_precision="fp16")])
def test_engines_and_files_are_series_of_their_own(machine, make_row, change):
    file = dict(layout=None, engine="ONNX Runtime 1.32.0", file_precision="fp32")
    rows = timed(make_row, lambda megapixels: 1000 * megapixels, **file)
    assert "fp32, ONNX Runtime 1.32.0, batch size 1" in scaling_report(Result(machine, rows))
    rows[-1] = replace(rows[-1], **change)
    assert scaling_report(Result(machine, rows)) is None


def test_sizes_of_the_same_area_have_no_line(machine, make_row):
    rows = [make_row(size=size) for size in ((200, 800), (400, 400), (800, 200))]
    text = scaling_report(Result(machine, rows))
    assert len(tables(text)[0]) == 3
    assert "no line" in text
