"""The plot: a whole file, numbered markers with a legend, bars by part."""

import io
import itertools
import os
import sys

import pytest
from matplotlib.text import Text
from PIL import Image

from vanillanet_det import UserError
from vanillanet_det.benchmark.plot import draw, plot
from vanillanet_det.benchmark.report import digits
from vanillanet_det.benchmark.results import MODES, Result, row_names

pytestmark = pytest.mark.slow

LONG = "mask_rcnn_vanillanet13_x1_5_ada_pool_with_deformable_convolutions_and_more_coco"


def texts(figure):
    """All texts that are drawn."""
    return [
        text
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and text.get_window_extent().width
    ]


def panel_texts(axes):
    return [text.get_text() for text in axes.texts]


def legend_texts(figure):
    """Entries of the legend of rows and limits, on one line each."""
    return [text.get_text().replace("\n", " ") for text in figure.legends[0].get_texts()]


def draw_like_plot(result):
    """The figure after it was written, when all texts are where they are in the file."""
    figure = draw(result)
    figure.savefig(io.BytesIO(), format="png")
    return figure


def check(figure):
    """No text covers another or leaves the figure; numbers may, where points coincide."""
    numbers = figure.axes[0].texts
    boxes = [
        (text.get_text(), text.get_window_extent()) for text in shown(figure) if text not in numbers
    ]
    for (name, box), (other_name, other) in itertools.combinations(boxes, 2):
        wide = min(box.x1, other.x1) - max(box.x0, other.x0)
        high = min(box.y1, other.y1) - max(box.y0, other.y0)
        assert wide <= 0.5 or high <= 0.5, f"{name!r} covers {other_name!r}"
    for name, box in boxes:
        inside = figure.bbox.padded(1)
        assert inside.x0 <= box.x0, name
        assert inside.y0 <= box.y0, name
        assert box.x1 <= inside.x1, name
        assert box.y1 <= inside.y1, name


def shown(figure):
    # Ticks outside the limits are invisible texts.
    hidden = set()
    for axes in figure.axes:
        for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            for tick in axis.get_major_ticks():
                if not min(low, high) <= tick.get_loc() <= max(low, high):
                    hidden |= {tick.label1, tick.label2}
    return [text for text in texts(figure) if text not in hidden]


@pytest.fixture
def crowd(machine, make_row):
    """Points that lie on each other, with names of all lengths."""
    rows = [
        make_row(config, form, precision, layout=layout)
        for config in (LONG, "x")
        for form in ("training", "deploy")
        for precision in ("fp32", "bf16")
        for layout in ("contiguous", "channels-last")
    ]
    return Result(machine, rows)


@pytest.mark.parametrize("count", [1, 2, 4, 10])
def test_nothing_covers_anything(result, count):
    result.rows = result.rows[:count]
    check(draw_like_plot(result))


def test_a_crowd_finds_room(crowd):
    check(draw_like_plot(crowd))


def test_a_long_legend_leaves_room_for_long_names(machine, make_row):
    parts = {f"backbone a_layer_with_a_long_name.{index}": 0.01 for index in range(60)}
    rows = [make_row(LONG, form, parts=parts) for form in ("training", "deploy", "only")]
    check(draw_like_plot(Result(machine, rows)))


@pytest.mark.parametrize("kind", ["result", "crowd"])
def test_numbers_name_every_row_in_both_panels(request, kind):
    result = request.getfixturevalue(kind)
    figure = draw(result)
    speed, parts = figure.axes
    numbers = [str(number) for number in range(1, len(result.rows) + 1)]
    assert panel_texts(speed) == numbers
    assert [label.get_text() for label in parts.get_yticklabels()] == numbers
    names = row_names(result.rows)
    assert len(set(names)) == len(result.rows)
    for number, row, name, entry in zip(numbers, result.rows, names, legend_texts(figure)):
        assert entry == f"{number}  {name}: {digits(row.fps)} images per second"
        assert row.config in name
        assert row.precision in name


def test_a_number_stands_in_its_marker(result):
    speed = draw(result).axes[0]
    markers = [line.get_xydata()[0] for line in speed.lines if len(line.get_xdata()) == 1]
    for text, marker in zip(speed.texts, markers):
        assert text.get_position() == tuple(marker)


def test_legend_entries_look_like_the_markers(result):
    figure = draw(result)
    markers = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 1]
    for marker, entry in zip(markers, figure.legends[0].legend_handles):
        assert entry.get_marker() == marker.get_marker()
        assert entry.get_color() == marker.get_color()


def test_what_differs_is_in_the_names(machine, make_row):
    rows = [make_row(size=(side, side)) for side in (320, 640)]
    assert ["640" in name for name in row_names(rows)] == [False, True]
    rows = [make_row(mode=mode) for mode in MODES]
    assert [row_names(rows)[0].find(mode) for mode in MODES] == [-1, -1, -1]
    assert all(mode in name for mode, name in zip(MODES[1:], row_names(rows)[1:]))


def test_engines_are_in_the_names_and_have_no_bar(machine, make_row):
    file = dict(layout=None, engine="ONNX Runtime 1.32.0", file_precision="int8", parts={})
    rows = [make_row(), make_row(precision="int8", checkpoint="a_model_int8.onnx", **file)]
    assert row_names(rows)[1].endswith("fused, int8, ONNX Runtime 1.32.0, a_model_int8.onnx")
    figure = draw_like_plot(Result(machine, rows))
    check(figure)
    speed, parts = figure.axes
    assert panel_texts(speed) == ["1", "2"]
    assert [label.get_text() for label in parts.get_yticklabels()] == ["1"]
    assert not any("limit, int8" in text for text in legend_texts(figure))


def test_points_stand_at_their_figures(result):
    speed = draw(result).axes[0]
    points = {tuple(line.get_xydata()[0]) for line in speed.lines if len(line.get_xdata()) == 1}
    assert points == {(row.flops / 1e9, row.fps) for row in result.rows}


def test_guides_go_through_points_of_that_share(result):
    speed = draw(result).axes[0]
    guides = [line.get_xydata() for line in speed.lines if len(line.get_xdata()) == 2]
    rates = {round(2 * 1e9 * x * y / 1e9, 3) for guide in guides for x, y in guide}
    known = {share * limit for share in (0.1, 0.25, 0.5, 1) for limit in (150, 1200)}
    assert rates <= known
    assert len(guides) == 8


def test_limits_are_in_the_legend(result):
    assert legend_texts(draw(result))[-2:] == [
        "10, 25, 50, 100 % of the limit, fp32: matrix product, 150 GFLOP/s",
        "10, 25, 50, 100 % of the limit, bf16: matrix product, 1.20 TFLOP/s",
    ]


def test_without_limits_there_are_no_guides(result):
    result.machine.limits = {}
    figure = draw(result)
    assert not any("limit, " in text for text in legend_texts(figure))
    assert all(len(line.get_xdata()) == 1 for line in figure.axes[0].lines)


def test_bars_are_as_long_as_the_parts(result):
    row = result.rows[0]
    result.rows = [row]
    bars = draw(result).axes[1].patches
    widths = [bar.get_width() for bar in bars]
    assert widths == pytest.approx([1e3 * seconds for seconds in row.parts.values()])
    assert len({bar.get_facecolor() for bar in bars}) == len(bars)


def test_parts_are_in_a_legend_and_long_ones_are_labelled(machine, make_row):
    row = make_row(parts={"neck": 1.0, "head": 0.001})
    figure = draw(Result(machine, [row]))
    parts = figure.axes[1]
    legend = figure.legends[1]
    assert [text.get_text() for text in legend.get_texts()] == ["neck", "head"]
    colours = [bar.get_facecolor() for bar in parts.patches]
    assert [handle.get_facecolor() for handle in legend.legend_handles] == colours
    assert panel_texts(parts) == ["1000", "1001 ms"]


def test_backbones_are_drawn_where_there_are_no_detectors(machine, make_row):
    detector, backbone = make_row("a"), make_row("b", part="backbone", parts={}, boxes=None)
    both = legend_texts(draw(Result(machine, [detector, backbone])))
    assert [text.split(":")[0] for text in both if "fused" in text] == ["1  a, fused, fp32"]
    figure = draw_like_plot(Result(machine, [backbone]))
    assert len(figure.axes) == 1
    assert legend_texts(figure)[0].startswith("1  b, fused, fp32: ")
    check(figure)


def test_what_can_not_be_counted_is_in_the_legend_alone(result):
    result.rows[3].flops = None
    figure = draw_like_plot(result)
    assert panel_texts(figure.axes[0]) == [str(number) for number in range(1, 11) if number != 4]
    assert [text.endswith(", operations not counted") for text in legend_texts(figure)[:5]] == [
        *(False, False, False, True, False)
    ]
    check(figure)


def test_a_result_without_any_count_is_drawn(result):
    for row in result.rows:
        row.flops = None
    figure = draw_like_plot(result)
    assert sum("not counted" in text for text in legend_texts(figure)) == len(result.rows)
    check(figure)


@pytest.mark.parametrize("factor", [1, 1.01, 6])
def test_limits_near_each_other_find_room(result, factor):
    result.machine.limits = {"fp32": 150e9, "bf16": factor * 150e9}
    check(draw_like_plot(result))


def test_units_and_machine_are_named(result):
    figure = draw(result)
    assert result.machine.name in figure.get_suptitle()
    speed, parts = figure.axes
    assert "GFLOPs" in speed.get_xlabel()
    assert "images per second" in speed.get_ylabel()
    assert parts.get_xlabel() == "ms per batch"


def test_the_file_is_a_whole_png(result, tmp_path):
    path = tmp_path / "benchmark.png"
    plot(result, path)
    with Image.open(path) as image:
        assert image.format == "PNG"
        image.load()
        assert image.getbbox()
    assert os.listdir(tmp_path) == [path.name]


def test_pyplot_stays_out_of_it(result, tmp_path):
    plot(result, tmp_path / "a.png")
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_a_failed_write_changes_nothing(result, tmp_path, file_size_limit):
    path = tmp_path / "benchmark.png"
    path.write_bytes(b"old")
    with (
        file_size_limit(5000),
        pytest.raises(UserError, match=r"can't be written \(File too large"),
    ):
        plot(result, path)
    assert os.listdir(tmp_path) == [path.name]
    assert path.read_bytes() == b"old"


def test_a_folder_that_is_not_there_is_named(result, tmp_path):
    with pytest.raises(UserError, match=r"nowhere/a\.png: can't be written \(No such file"):
        plot(result, tmp_path / "nowhere" / "a.png")
