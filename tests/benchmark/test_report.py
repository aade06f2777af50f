"""Markdown, CSV and JSON of results whose figures are known."""

import csv
import io
import json
import math
from dataclasses import asdict, replace

import pytest
from markdown_tables import tables

from vanillanet_det.analysis.published import COCO_TABLE
from vanillanet_det.benchmark.report import (
    csv_text,
    digits,
    json_text,
    markdown_report,
    published_report,
    text_report,
)
from vanillanet_det.benchmark.results import COMPILED, Result


@pytest.fixture
def slow(make_row):
    return make_row(form="training", seconds=[2.0, 4.0, 3.0], flops=150 * 10**9)


@pytest.fixture
def fast(make_row):
    # A round that took twice as long did so in both: each is exactly four times as fast.
    changes = dict(seconds=[0.5, 1.0, 0.75], flops=75 * 10**9, layout="contiguous")
    return make_row(mode=COMPILED, missing=["a.weight", "a.bias"], **changes)


def test_a_row_shows_everything(machine, slow, fast):
    ((first, second),) = tables(markdown_report(Result(machine, [slow, fast])))
    assert first == {
        "network": "retinanet_vanillanet11_coco",
        "form": "training form",
        "precision": "fp32",
        "layout": "channels-last",
        "input": "1 x 3 x 800 x 1280",
        "ms": "3000",
        "p10": "2200",
        "p90": "3800",
        "FPS": "0.333",
        "ratio": "1.00x",
        "GFLOPs": "150.0",
        "achieved": "100 GFLOP/s",
        "of limit": "67 %",
        "peak MB": "1234",
        "boxes": "38.2",
        "missing": "0",
    }
    expected = dict(form="fused", layout="contiguous, compiled", FPS="1.33", ratio="4.00x")
    assert second == {**second, **expected, "ms": "750", "achieved": "200 GFLOP/s", "missing": "2"}


def test_the_machine_comes_first_and_its_limits_below(machine, slow):
    lines = markdown_report(Result(machine, [slow])).splitlines()
    assert lines[0] == (
        "Intel(R) Xeon(R) Processor @ 2.10GHz (cpu), 2 threads; Python 3.12.3, PyTorch 2.14.1; "
        "OMP_NUM_THREADS=2"
    )
    table_end = max(index for index, line in enumerate(lines) if line.startswith("|"))
    assert lines.index("- matrix product, fp32: 150 GFLOP/s") > table_end
    assert "- matrix product, bf16: 1.20 TFLOP/s" in lines


def test_each_part_has_its_table_and_what_is_unknown_is_blank(machine, slow):
    backbone = replace(
        slow, part="backbone", form="only", boxes=None, flops=None, peak_bytes=None, checkpoint=None
    )
    ((first,), (second,)) = tables(markdown_report(Result(machine, [slow, backbone])))
    assert (first["boxes"], first["form"]) == ("38.2", "training form")
    assert (second["form"], second["missing"]) == ("nothing to fuse", "random weights")
    unknown = ("GFLOPs", "achieved", "of limit", "peak MB", "boxes")
    assert [second[column] for column in unknown] == [""] * 5
    assert second["ratio"] == "1.00x"  # the detector isn't what it is compared with


def test_without_a_limit_there_is_no_share(machine, slow):
    machine.limits = {}
    text = markdown_report(Result(machine, [slow]))
    assert tables(text)[0][0]["of limit"] == ""
    assert "matrix product," not in text


@pytest.mark.parametrize(
    "change", [dict(batch_size=2), dict(input_shapes=[(1, 3, 320, 320)]), dict(config="other")]
)
def test_the_ratio_is_to_the_first_row_of_its_kind(machine, slow, fast, change):
    other = replace(fast, **change)
    ((_, second, third),) = tables(markdown_report(Result(machine, [slow, other, fast])))
    assert second["ratio"] == "1.00x"
    assert third["ratio"] == "4.00x"


def test_several_shapes_are_counted_and_what_rests_on_the_first_is_marked(machine, slow):
    slow.input_shapes = [(2, 3, 320, 320), (2, 3, 256, 320), (1, 3, 320, 416)]
    ((row,),) = tables(markdown_report(Result(machine, [slow])))
    assert row["input"] == "3 shapes, 1-2 x 3 x 256-320 x 320-416"
    assert (row["achieved"], row["of limit"]) == ("~100 GFLOP/s", "~67 %")


def test_a_note_appears_once_with_its_networks(machine, slow, fast, make_row):
    other = make_row("retinanet_resnet50_coco", "only", notes=["Of all.", "Of one."])
    slow.notes = fast.notes = ["Of all.", "Frequency scaling is on."]
    notes = [
        line
        for line in markdown_report(Result(machine, [slow, fast, other])).splitlines()
        if "Of " in line[:5] or "scaling" in line
    ]
    assert notes == [
        "- Frequency scaling is on.",
        "- Of all.",
        "- Of one. (retinanet_resnet50_coco)",
    ]


def test_json_holds_every_figure(machine, slow, fast):
    content = json.loads(json_text(Result(machine, [slow, fast])))
    assert content["machine"] == asdict(machine)
    row = content["rows"][1]
    assert row["seconds"] == fast.seconds
    given = asdict(replace(fast, input_shapes=[list(shape) for shape in fast.input_shapes]))
    assert {key: row.pop(key) for key in given} == given
    assert row == pytest.approx(
        dict(median=0.75, p10=0.55, p90=0.95, fps=4 / 3, flop_rate=2e11, share=4 / 3, ratio=4.0)
    )


def test_csv_has_a_line_for_each_row(machine, slow, fast):
    fast.notes = ['One, with a "comma".', "Two."]
    text = csv_text(Result(machine, [slow, fast]))
    first, second = csv.DictReader(io.StringIO(text))
    assert (first["missing"], second["missing"]) == ("", "a.weight a.bias")
    assert second["notes"] == 'One, with a "comma".\nTwo.'
    assert second["input_shapes"] == "1x3x800x1280"
    assert (second["rounds"], second["machine"]) == ("3", machine.name)
    figures = [float(second[key]) for key in ("median", "fps", "flop_rate", "share", "limit")]
    assert figures == pytest.approx([0.75, 4 / 3, 2e11, 4 / 3, 150e9])


@pytest.fixture
def exported(make_row):
    return make_row(
        layout=None, engine="OpenVINO 2026.4.1", file_precision="fp32", peak_bytes=None, parts={}
    )


def test_the_engine_of_a_file_stands_for_the_layout(machine, slow, exported):
    half = replace(exported, file_precision="bf16")
    given = replace(exported, checkpoint="some/where/a.xml", file_precision="bf16")
    rows = [slow, exported, half, given]
    ((first, *others),) = tables(markdown_report(Result(machine, rows)))
    assert first["layout"] == "channels-last"
    assert [row["layout"] for row in others] == [
        "OpenVINO 2026.4.1",
        "OpenVINO 2026.4.1, bf16 file",
        "OpenVINO 2026.4.1, a.xml",
    ]
    assert {(row["peak MB"], row["of limit"]) for row in others} == {("", "50 %")}
    assert "OpenVINO 2026.4.1, a.xml" in text_report(Result(machine, rows))


def test_int8_has_no_limit(machine, exported):
    int8 = replace(exported, precision="int8", file_precision="int8")
    ((row,),) = tables(markdown_report(Result(machine, [int8])))
    assert (row["precision"], row["of limit"]) == ("int8", "")
    assert row["achieved"] == "75.0 GFLOP/s"


def test_files_carry_the_engine(machine, slow, exported):
    content = json.loads(json_text(Result(machine, [slow, exported])))
    assert [row["engine"] for row in content["rows"]] == ["PyTorch", "OpenVINO 2026.4.1"]
    lines = list(csv.DictReader(io.StringIO(csv_text(Result(machine, [slow, exported])))))
    assert [line["engine"] for line in lines] == ["PyTorch", "OpenVINO 2026.4.1"]
    found = [(line["layout"], line["file_precision"]) for line in lines]
    assert found == [("channels-last", ""), ("", "fp32")]


def test_random_weights_are_reported_beside_a_file_with_its_own(machine, slow, exported):
    random = replace(slow, checkpoint=None)
    given = replace(exported, checkpoint="a.onnx")
    text = text_report(Result(machine, [random, replace(random), given]))
    assert text.count("- retinanet_vanillanet11_coco: random weights") == 1
    assert "random weights" not in text_report(Result(machine, [slow, given]))


def test_csv_of_nothing_is_a_text(machine):
    assert csv_text(Result(machine, [])).strip() == ""


def test_the_published_table_is_as_printed():
    printed = """
        | RetinaNet | Swin-T | 245 | 38.5 | 27.5 | 41.5 | |
        | RetinaNet | VanillaNet-11 | 386 | 67.0 | 30.8 | 41.8 | |
        | RetinaNet | VanillaNet-13 | 396.9 | 75.4 | 29.8 | 43.0 | |
        | Mask R-CNN | ConvNeXtV2-N | 221 | 35.2 | 31.7 | 42.7 | 38.9 |
        | Mask R-CNN | Swin-T | 267 | 47.8 | 28.2 | 42.7 | 39.3 |
        | Mask R-CNN | VanillaNet-11 | 404 | 107.5 | 33.6 | 42.9 | 39.6 |
        | Mask R-CNN | VanillaNet-13 | 420.7 | 77.1 | 32.6 | 44.3 | 40.1 |
    """
    expected = [
        [value(cell) for cell in line.strip(" |").split("|")]
        for line in printed.replace("| |", "|").strip().splitlines()
    ]
    found = [
        (row.framework, row.backbone, row.flops, row.parameters, row.fps, row.box_ap, row.mask_ap)
        for row in COCO_TABLE.values()
        if not row.counted
    ]
    assert [[cell for cell in row if cell is not None] for row in found] == expected
    assert [name for name, row in COCO_TABLE.items() if row.counted] == [
        "retinanet_resnet50_coco",
        "retinanet_convnextv2_nano_coco",
        "mask_rcnn_resnet50_coco",
    ]


def value(cell):
    """A cell as a number, if it is one."""
    try:
        return float(cell)
    except ValueError:
        return cell.strip()


def test_every_published_row_has_its_config(root):
    for name in COCO_TABLE:
        assert (root / "configs" / f"{name}.py").exists()


def test_measured_speed_stands_beside_the_published_one(machine, make_row):
    rows = [
        make_row(form="training"),
        make_row(seconds=[0.25]),
        make_row(batch_size=2),
        make_row(part="backbone"),
        make_row("retinanet_vanillanet13_coco", "training", seconds=[0.5]),
    ]
    text = published_report(Result(machine, rows), COCO_TABLE)
    (table,) = tables(text)
    by_name = {(row["framework"], row["backbone"]): row for row in table}
    assert len(table) == len(by_name) == len(COCO_TABLE)
    assert by_name["RetinaNet", "VanillaNet-11"] == {
        "framework": "RetinaNet",
        "backbone": "VanillaNet-11",
        "measured as": "fused, fp32, channels-last",
        "input": "1 x 3 x 800 x 1280",
        "FLOPs G": "369.3 / 386.0",
        "params M": "65.99 / 67.0",
        "FPS here": "4.00",
        "ms": "250",
        "FPS published": "30.8",
        "box AP (published)": "41.8",
        "mask AP (published)": "",
    }
    # Its fused form wasn't measured.
    assert by_name["RetinaNet", "VanillaNet-13"]["measured as"].startswith("training form")
    swin = by_name["Mask R-CNN", "Swin-T"]
    assert (swin["FPS here"], swin["ms"], swin["FLOPs G"]) == ("", "", "/ 267.0")
    assert swin["mask AP (published)"] == "39.3"
    resnet = by_name["RetinaNet", "ResNet-50"]
    assert (resnet["FPS published"], resnet["FLOPs G"]) == ("", "/ 239.0*")
    assert "AP is published and was not measured here." in text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0123, "0.0123"), (1, "1.00"), (99.5, "99.5"), (1234.4, "1234"), (0, "0")]
)
def test_three_digits(value, text):
    assert digits(value) == text
    assert math.isclose(float(digits(value)), value, rel_tol=0.005)
