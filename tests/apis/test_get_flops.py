"""The published tables, counted; Markdown and JSON; a sentence for every mistake."""

import importlib
import json

import pytest

from vanillanet_det import UserError
from vanillanet_det.analysis import Cost
from vanillanet_det.analysis.forms import Form, Forms
from vanillanet_det.analysis.published import CLASSIFIERS, DETECTORS
from vanillanet_det.apis import get_flops
from vanillanet_det.models.backbones import ARCHS

# Counted on the fused form with fvcore: millions of parameters, billions of FLOPs.
COUNTED = {
    "retinanet_vanillanet11_coco": (65.99, 369.3),
    "retinanet_vanillanet13_coco": (75.38, 408.4),
    "mask_rcnn_vanillanet11_coco": (67.77, 393.1),
    "mask_rcnn_vanillanet13_coco": (77.15, 432.2),
}


@pytest.fixture(scope="module")
def table():
    return json.loads(get_flops(table=True, as_json=True))


@pytest.mark.slow
def test_classifiers_equal_the_published_ones(table):
    assert [row["arch"] for row in table["classifiers"]] == list(CLASSIFIERS) == list(ARCHS)
    for row in table["classifiers"]:
        published = CLASSIFIERS[row["arch"]]
        assert round(row["parameters"] / 1e6, 1) == published.parameters, row
        assert row["flops"] / 1e9 == pytest.approx(published.flops, rel=0.01), row
        assert 0 < row["series_activation_flops"] < 0.04 * row["flops"]


def test_detectors_equal_the_count_in_fvcore(table):
    assert [row["config"] for row in table["detectors"]] == list(DETECTORS) == list(COUNTED)
    for row in table["detectors"]:
        parameters, flops = COUNTED[row["config"]]
        assert round(row["parameters"] / 1e6, 2) == parameters, row
        assert row["flops"] / 1e9 == pytest.approx(flops, rel=0.0005), row


def test_what_explains_the_published_figures(table):
    rows = {row["config"]: row for row in table["detectors"]}
    for name in ("retinanet_vanillanet13_coco", "mask_rcnn_vanillanet13_coco"):
        without = rows[name]["flops"] - rows[name]["series_activation_flops"]
        assert without / 1e9 == pytest.approx(DETECTORS[name].flops, rel=0.002)
        assert rows[name]["parameters"] / 1e6 == pytest.approx(DETECTORS[name].parameters, abs=0.06)
    row = rows["mask_rcnn_vanillanet11_coco"]
    published = DETECTORS["mask_rcnn_vanillanet11_coco"].parameters
    assert round(row["training_parameters"] / 1e6, 1) == published


def test_the_table_shows_counted_beside_published(table, monkeypatch):
    module = importlib.import_module("vanillanet_det.apis.get_flops")
    monkeypatch.setattr(module, "classifier_rows", lambda: table["classifiers"])
    monkeypatch.setattr(module, "detector_rows", lambda: table["detectors"])
    text = get_flops(table=True)
    for cells in (
        ["VanillaNet 11", "49.99", "50.0", "10.26", "10.3", "0.31"],
        ["MaskRCNN, VanillaNet 11", "67.77", "107.5", "393.09", "404.0", "6.42", "107.46"],
    ):
        rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
        assert cells in rows
    assert "multiply-accumulates" in text


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not list(tmp_path.iterdir()), "counting needs no folder"


def test_json_and_text_have_the_same_figures(small_config, elsewhere):
    content = json.loads(get_flops(small_config, "160", as_json=True))
    assert content["input_size"] == [160, 160]
    assert content["flops_are"] == "multiply-accumulates"
    assert content["device"] == "meta"
    text = get_flops(small_config, "160x160")
    for name, form in content["forms"].items():
        assert list(form["parts"]) == ["data_preprocessor", "backbone", "neck", "bbox_head"]
        for key in ("parameters", "flops", "activations", "kernels"):
            assert sum(part[key] for part in form["parts"].values()) == form["total"][key]
        assert f"| {name} form" in text
        for line, cost in (("total", "total"), ("of which series activation", "series_activation")):
            cells = [f"{form[cost]['parameters'] / 1e6:.2f}", f"{form[cost]['flops'] / 1e9:.2f}"]
            assert any(
                row.startswith(f"| {line} ") and all(f" {cell} |" in row for cell in cells)
                for row in text.splitlines()
            )
    assert list(content["forms"]) == ["training", "fused"]


def test_options_override_the_config(small_config, elsewhere):
    option = "model.bbox_head.num_classes=20"
    plain, more = (
        json.loads(get_flops(small_config, "160", as_json=True, cfg_options=options))
        for options in ([], [option])
    )
    added = [
        content["forms"]["fused"]["parts"]["bbox_head"]["parameters"] for content in (plain, more)
    ]
    # 10 more classes for each of 8 anchors, from 16 channels at 3 x 3.
    assert added[1] - added[0] == 10 * 8 * (16 * 9 + 1)


def test_a_config_of_a_classifier(elsewhere, tmp_path_factory):
    path = tmp_path_factory.mktemp("configs") / "classifier.py"
    path.write_text("model = dict(type='VanillaNetClassifier', arch='5', num_classes=10)\n")
    content = json.loads(get_flops(str(path), "64", as_json=True))
    assert list(content["forms"]["fused"]["parts"]) == ["stages", "stem", "cls"]


def test_grey_images(small_config, elsewhere):
    options = [
        "model.backbone.in_channels=1",
        "model.data_preprocessor.mean=[120]",
        "model.data_preprocessor.std=[60]",
        "model.data_preprocessor.bgr_to_rgb=False",
    ]
    grey, colour = (
        json.loads(get_flops(small_config, "160", as_json=True, cfg_options=options))
        for options in (options, [])
    )
    parameters = [c["forms"]["fused"]["total"]["parameters"] for c in (grey, colour)]
    assert parameters[1] - parameters[0] == 8 * 2 * 4 * 4


def test_uncounted_operators_are_named(elsewhere, tmp_path_factory):
    path = tmp_path_factory.mktemp("configs") / "deformable.py"
    path.write_text(
        "model = dict(type='ResNet', depth=50, base_channels=8, dcn=dict(type='DCN', "
        "deform_groups=1), stage_with_dcn=(False, False, False, True))\n"
    )
    text = get_flops(str(path), "64")
    assert "Not included in these figures: " in text
    assert "DeformConv2dPack" in text
    assert "| model " in text
    assert "series activation" not in text


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ("0", "--input-size 0: expected a side such as 320"),
        ("160x-5", "--input-size 160x-5: expected a side such as 320"),
        ("1x2x3", "--input-size 1x2x3: expected a side such as 320"),
        ("32", "--input-size 32x32: the model can't process this size"),
    ],
)
def test_wrong_sizes(size, message, small_config, elsewhere):
    with pytest.raises(UserError, match=message):
        # One pixel of 32 is left behind such a stem.
        get_flops(small_config, size, cfg_options=["model.backbone.stem_stride=64"])


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(), "expected a config file, or --table"),
        (dict(table=True, config="a.py"), "--table counts the published models"),
        (dict(table=True, input_size="8"), "--table counts the published models"),
        (dict(table=True, cfg_options=["a=1"]), "--table counts the published models"),
        (dict(config="nothing.py"), "config nothing.py: there is no such file"),
    ],
)
def test_wrong_arguments(kwargs, message, elsewhere):
    with pytest.raises(UserError, match=message):
        get_flops(**kwargs)


def test_a_config_without_a_model(root):
    path = root / "configs/_base_/default_runtime.py"
    with pytest.raises(UserError, match="has no model"):
        get_flops(str(path))


def test_a_count_on_the_cpu_is_reported(small_config, elsewhere, monkeypatch):
    module = importlib.import_module("vanillanet_det.apis.get_flops")
    for device, reported in (("cpu", True), ("meta", False)):
        counted = Forms({"model": Form(Cost(1, 2, 3), {}, None, ())}, device)
        monkeypatch.setattr(module, "count_forms", lambda *args, counted=counted: counted)
        assert ("Counted by running the model on the CPU" in get_flops(small_config)) == reported


@pytest.mark.parametrize(
    "option", ["model.neck.num_outs=1", "model.bbox_head.num_classes=many", "model=hello"]
)
def test_a_model_that_can_not_be_built_is_one_sentence(small_config, elsewhere, option):
    with pytest.raises(UserError, match=rf"config {small_config}: the model can't be built \("):
        get_flops(small_config, "160", cfg_options=[option])
