"""The picture: whole, and with nothing that covers anything."""

import io
import itertools
import os
import sys

import pytest
from matplotlib.text import Text
from PIL import Image

from vanillanet_det import UserError
from vanillanet_det.benchmark.plot import draw, plot
from vanillanet_det.benchmark.results import Result
from vanillanet_det.benchmark.words import labels

LONG = "mask_rcnn_vanillanet13_x1_5_ada_pool_with_deformable_convolutions_and_more_coco"


def texts(figure):
    """All texts that are drawn."""
    return [
        text
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and text.get_window_extent().width
    ]


def one_line(text):
    return "".join(text.replace("\u00a0", " ").split("\n"))


def panel_texts(axes):
    return [one_line(text.get_text()) for text in axes.texts]


def draw_like_plot(result):
    """The figure after it was written, when all texts are where they are in the file."""
    figure = draw(result)
    figure.savefig(io.BytesIO(), format="png")
    return figure


def check(figure):
    """No text covers another or leaves the figure."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in shown(figure)]
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
    # Ticks outside the limits are texts, too, that no one sees.
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
def test_every_row_is_named_in_both_panels(request, kind):
    result = request.getfixturevalue(kind)
    speed, parts = draw(result).axes
    names = [one_line(name) for name in labels(result.rows)]
    assert len(set(names)) == len(result.rows)
    assert set(names) <= set(panel_texts(speed))
    assert [one_line(label.get_text()) for label in parts.get_yticklabels()] == names
    for row, name in zip(result.rows, names):
        assert row.config in name
        assert row.precision in name


def test_what_differs_is_in_the_names(machine, make_row):
    rows = [make_row(size=(side, side)) for side in (320, 640)]
    assert ["640" in name for name in labels(rows)] == [False, True]
    rows = [make_row(compiled=compiled) for compiled in (False, True)]
    assert ["compiled" in name for name in labels(rows)] == [False, True]


def test_engines_are_in_the_names_and_have_no_bar(machine, make_row):
    file = dict(layout=None, engine="ONNX Runtime 1.32.0", file_precision="int8", parts={})
    rows = [make_row(), make_row(precision="int8", checkpoint="a_model_int8.onnx", **file)]
    name = labels(rows)[1].replace("\u00a0", " ")
    # The version stays whole.
    assert name.endswith("\nfused, int8,\nONNX Runtime 1.32.0, a_model_\nint8.onnx")
    figure = draw_like_plot(Result(machine, rows))
    check(figure)
    speed, parts = figure.axes
    assert one_line(name) in panel_texts(speed)
    assert len(parts.get_yticklabels()) == 1
    assert not any("limit, int8" in text for text in panel_texts(speed))


def test_points_stand_at_their_figures(result):
    speed = draw(result).axes[0]
    points = {tuple(line.get_xydata()[0]) for line in speed.lines if len(line.get_xdata()) == 1}
    assert points == {(row.flops / 1e9, row.fps) for row in result.rows}


def test_guides_go_through_points_of_that_share(result):
    speed = draw(result).axes[0]
    guides = [line.get_xydata() for line in speed.lines if len(line.get_xdata()) > 2]
    rates = {round(2 * 1e9 * x * y / 1e9, 3) for guide in guides for x, y in guide}
    known = {share * limit for share in (0.1, 0.25, 0.5, 1) for limit in (150, 1200)}
    assert rates <= known
    assert "50% of the limit, bf16" in panel_texts(speed)
    assert "25% of the limit, fp32" in panel_texts(speed)


def test_without_limits_there_are_no_guides(result):
    result.machine.limits = {}
    assert not any("limit, " in text for text in panel_texts(draw(result).axes[0]))


def test_bars_are_as_long_as_the_parts(result):
    row = result.rows[0]
    result.rows = [row]
    bars = draw(result).axes[1].patches
    widths = [bar.get_width() for bar in bars]
    assert widths == pytest.approx([1e3 * seconds for seconds in row.parts.values()])
    assert len({bar.get_facecolor() for bar in bars}) == len(bars)


def test_parts_are_in_a_legend_only_where_they_do_not_fit(machine, make_row):
    wide = make_row(parts={"neck": 1.0, "head": 1.0})
    narrow = make_row(parts={"neck": 1.0, "head": 0.001})
    assert not draw(Result(machine, [wide])).legends
    (legend,) = draw(Result(machine, [wide, narrow])).legends
    assert [text.get_text() for text in legend.get_texts()] == ["neck", "head"]


def test_backbones_are_drawn_where_there_are_no_detectors(machine, make_row):
    detector, backbone = make_row("a"), make_row("b", part="backbone", parts={}, boxes=None)
    both = panel_texts(draw(Result(machine, [detector, backbone])).axes[0])
    assert [text for text in both if "fused" in text] == ["afused, fp32"]
    figure = draw_like_plot(Result(machine, [backbone]))
    assert len(figure.axes) == 1
    assert any(text.startswith("bfused") for text in panel_texts(figure.axes[0]))
    check(figure)


def test_what_can_not_be_counted_is_named_below(result):
    result.rows[3].flops = None
    figure = draw_like_plot(result)
    below = figure.axes[0].get_xlabel()
    assert "not counted, retinanet_vanillanet11_coco" in below.replace("\n", "")
    check(figure)


def test_a_result_without_any_count_is_drawn(result):
    for row in result.rows:
        row.flops = None
    figure = draw_like_plot(result)
    assert figure.axes[0].get_xlabel().count("not counted") == len(result.rows)
    check(figure)


@pytest.mark.parametrize("factor", [1, 1.01, 6])
def test_limits_near_each_other_find_room(result, factor):
    result.machine.limits = {"fp32": 150e9, "bf16": factor * 150e9}
    check(draw_like_plot(result))


def test_it_says_units_and_machine(result):
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
