"""Charts of curves."""

import base64
import os
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from vanillanet_det import UserError
from vanillanet_det.report import Curves, Series, draw_curves
from vanillanet_det.report.charts import (
    WIDTH,
    curve_panels,
    figure_of,
    precision_recall_panel,
    smoothed,
    svg,
)

STEPS = tuple(range(10, 2010, 10))


@pytest.fixture
def make_curves():
    def make(act_lambda=True, parts=("loss_cls", "loss_bbox"), offset=0.0):
        random = np.random.default_rng(0)
        names = ("loss", *parts)
        losses = {
            name: Series(STEPS, tuple(offset + 1 / (i + 1) + random.random(200) / 10))
            for i, name in enumerate(names)
        }
        rate = Series(STEPS, tuple(np.linspace(1e-3, 1e-5, 200)))
        slope = Series(STEPS, tuple(np.linspace(0, 1, 200)))
        metrics = {
            "coco/bbox_mAP": Series((1, 2, 3), (0.1, 0.3, 0.4)),
            "coco/bbox_mAP_50": Series((1, 2, 3), (0.2, 0.5, 0.6)),
        }
        return Curves(losses, rate, slope if act_lambda else None, metrics)

    return make


def lines(axes):
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def test_every_curve_has_its_panel_name_and_unit(make_curves):
    losses, precision, rate, slope = figure_of({"": make_curves()}).axes
    assert list(lines(losses)) == ["loss", "loss_cls", "loss_bbox"]
    assert list(lines(precision)) == ["box AP", "box AP50"]
    assert tuple(lines(precision)["box AP"].get_ydata()) == (0.1, 0.3, 0.4)
    assert [axes.get_xlabel() for axes in (losses, precision, rate, slope)] == [
        *("iteration", "epoch", "iteration", "iteration"),
    ]
    assert [axes.get_ylabel() for axes in (losses, precision, rate, slope)] == [
        *("loss", "average precision", "learning rate", "lambda"),
    ]


def test_losses_are_smoothed_over_what_was_logged(make_curves):
    curves = make_curves()
    raw, smooth = figure_of({"": curves}).axes[0].lines[:2]
    assert tuple(raw.get_ydata()) == curves.losses["loss"].y
    assert raw.get_alpha() < 0.5
    assert tuple(smooth.get_ydata()) == tuple(smoothed(curves.losses["loss"]))
    assert np.std(np.diff(smooth.get_ydata())) < np.std(np.diff(raw.get_ydata())) / 5


def test_a_smoothed_value_is_the_mean_around_it():
    y = np.random.default_rng(0).random(120)
    smooth = smoothed(Series(tuple(range(120)), tuple(y)))
    assert smooth[50] == pytest.approx(y[47:54].mean())
    assert smooth[0] == pytest.approx(y[:4].mean())
    assert smooth[-1] == pytest.approx(y[-4:].mean())
    y[50] = np.nan
    smooth = smoothed(Series(tuple(range(120)), tuple(y)))
    assert smooth[50] == pytest.approx(np.nanmean(y[47:54]))
    assert smoothed(Series((1,), (3.0,))).tolist() == [3.0]


def test_other_runs_are_also_drawn(make_curves):
    other = make_curves(offset=1)
    losses, precision, *_ = figure_of({"": make_curves(), "scratch": other}).axes
    assert list(lines(losses)) == ["loss", "loss_cls", "loss_bbox", "scratch: loss"]
    drawn = lines(losses)["scratch: loss"].get_ydata()
    assert tuple(drawn) == tuple(smoothed(other.losses["loss"]))
    assert list(lines(precision)) == ["box AP", "scratch: box AP"]


def test_what_was_not_logged_has_no_panel(make_curves):
    assert "lambda" not in curve_panels({"": make_curves(act_lambda=False)})
    assert not curve_panels({"": Curves()})
    assert list(curve_panels({"": Curves(losses={"loss": Series((1,), (np.nan,))})})) == ["losses"]


@pytest.mark.parametrize("others", [0, 3])
def test_no_legend_covers_axes_or_leaves_the_image(make_curves, others):
    parts = [f"loss_of_part_{i}" for i in range(6)]
    runs = {"a run with a long name" * bool(i): make_curves(parts=parts) for i in range(1)}
    runs |= {f"another run with a long name {i}": make_curves() for i in range(others)}
    figure = figure_of(runs)
    figure.draw_without_rendering()
    legends = [legend for part in figure.subfigs for legend in part.legends]
    assert len(legends) == 2
    for legend, axes in zip(legends, figure.axes):
        box = legend.get_window_extent()
        below = axes.get_tightbbox()
        assert box.y1 <= below.y0 + 1
        assert figure.bbox.y0 <= box.y0 + 1
        assert figure.bbox.x0 <= box.x0 + 1
        assert box.x1 <= figure.bbox.x1 + 1
    assert all(axes.bbox.height > 100 for axes in figure.axes)


def test_the_file_is_a_whole_png(make_curves, tmp_path):
    path = tmp_path / "curves.png"
    for curves in (make_curves(), Curves(), Curves({"loss": Series((1,), (np.nan,))})):
        draw_curves(curves, path, {"other": make_curves()} if curves else None)
        with Image.open(path) as image:
            assert image.format == "PNG"
            image.load()
    assert os.listdir(tmp_path) == [path.name]


def test_a_failed_write_changes_nothing(make_curves, tmp_path, file_size_limit):
    path = tmp_path / "curves.png"
    path.write_bytes(b"old")
    with file_size_limit(500), pytest.raises(UserError, match=r"can't be written \(File too large"):
        draw_curves(make_curves(), path)
    assert path.read_bytes() == b"old"


def test_an_svg_has_the_colours_of_the_page_and_letters_of_12_pixels(make_curves):
    sizes = []
    panel = curve_panels({"": make_curves()})["losses"]

    def spy(axes):
        panel(axes)
        sizes.extend(text.get_fontsize() for text in axes.figure.findobj(Text))

    address = svg(spy)
    kind, data = address.split(",", 1)
    assert kind == "data:image/svg+xml;base64"
    text = base64.b64decode(data).decode()
    root = ElementTree.fromstring(text)  # noqa: S314  our own
    points = float(root.get("width").removesuffix("pt"))
    assert points * 96 / 72 == pytest.approx(WIDTH)
    assert min(sizes) * 96 / 72 >= 12
    assert "currentColor" in text
    assert "#000000" not in text
    assert "prefers-color-scheme" in text
    assert "#ffffff" not in text
    assert svg(panel) == address


def test_precision_recall_names_classes_and_the_rest(make_curves):
    curves = {f"class {i}": np.linspace(1, i / 20, 101) for i in range(10)}
    rest = np.linspace(1, 0, 101)
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    precision_recall_panel(curves, rest, 70)(axes)
    drawn = lines(axes)
    assert list(drawn) == [*curves, "mean of 70 others"]
    assert drawn["class 3"].get_ydata() == pytest.approx(curves["class 3"])
    assert drawn["class 3"].get_xdata() == pytest.approx(np.linspace(0, 1, 101))
    looks = {(line.get_color(), line.get_linestyle()) for line in drawn.values()}
    assert len(looks) == 11


@pytest.mark.parametrize(
    "name", [r"a $\frac$ b", "$1 or $2", "$", r"\$5 and $6", "_hidden", "_$_$"]
)
def test_any_name_stands_in_the_legend_as_it_is(make_curves, name):
    for panel in (
        precision_recall_panel({name: np.linspace(1, 0, 101)}, None, 0),
        curve_panels({"": Curves(), name: make_curves()})["average precision"],
    ):
        written = []

        def draw(axes, panel=panel, written=written):
            panel(axes)
            texts = axes.get_legend_handles_labels()[1]
            written.extend(Text(text=text)._preprocess_math(text) for text in texts)

        svg(draw)  # a formula that is none would raise
        assert [math for _, math in written] == [False]
        assert written[0][0].strip().partition(": box AP")[0] == name
