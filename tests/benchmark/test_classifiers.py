"""Classifiers beside the published ImageNet table."""

import json
from dataclasses import replace

import pytest
import torch
from matplotlib import image
from torch import nn
from torchvision.models import resnet18

from vanillanet_det import UserError
from vanillanet_det.analysis.published import CLASSIFIER_TABLE, GRESNET_PEERS, PublishedClassifier
from vanillanet_det.apis.benchmark import benchmark
from vanillanet_det.benchmark.classifier_report import classifier_report
from vanillanet_det.benchmark.classifiers import (
    ClassifierWorkload,
    build_classifier,
    layers_in_sequence,
)
from vanillanet_det.benchmark.results import Result, Row
from vanillanet_det.benchmark.settings import BenchmarkSettings
from vanillanet_det.models.deploy import switch_to_deploy

FEW = ("VanillaNet-5", "ResNet-50", "MobileNetV3-L", "ShuffleNetV2 x1.5")


@pytest.fixture
def few(monkeypatch):
    for name in set(CLASSIFIER_TABLE) - set(FEW):
        monkeypatch.delitem(CLASSIFIER_TABLE, name)


def test_the_table_its_plots_and_all_figures(few, tmp_path):
    plot, out = tmp_path / "plot.png", tmp_path / "out.json"
    options = dict(plot=str(plot), out=str(out), rounds=1)
    text = benchmark(table="classifiers", **options)
    lines = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("|")][2:]
    rows = [[cell.strip() for cell in line] for line in lines]
    assert [row[0].partition(",")[0] for row in rows] == list(FEW)
    assert [row[1] for row in rows] == ["9", "50", "64", "51"]
    assert [row[2] for row in rows] == ["15.5 / 15.5", "25.5 / 25.6", "5.5 / 5.5", "3.5 / 3.5"]
    assert [row[5] for row in rows][1] == "1.00x"
    assert [[*row[7:9], row[-1]] for row in rows] == [
        ["1.61", "0.21x", "72.5"],
        ["7.64", "1.00x", "76.1"],
        ["7.83", "1.02x", "74.0"],
        ["", "", "73.0"],
    ]
    assert "Rank correlation of published latency: 1.00 with layers, -1.00 with FLOPs" in text
    assert "Rank correlation of latency here (fp32, 1 x 3 x 224 x 224): " in text
    found = json.loads(out.read_text())["rows"]
    assert {row["part"] for row in found} == {"classifier"}
    assert all(row["share"] > 0 and row["form"] == "deploy" for row in found)
    assert image.imread(plot).std() > 0.05


@pytest.mark.parametrize(
    ("given", "flag"),
    [
        (dict(part=["backbone"]), "part"),
        (dict(engine=["onnxruntime"]), "engine"),
        (dict(exported=["a.onnx"]), "exported"),
        (dict(cfg_options=["a=1"]), "cfg-options"),
        (dict(markdown=True), "markdown"),
    ],
)
def test_options_of_detectors_are_refused(given, flag):
    with pytest.raises(UserError, match=f"--{flag}: isn't for --table classifiers; omit it"):
        benchmark(table="classifiers", **given)


def test_latency_follows_what_it_follows(machine):
    rows = []
    for place, name in enumerate(CLASSIFIER_TABLE):
        values = dict(input_shapes=[(1, 3, 224, 224)], seconds=[0.1 + place], flops=10**9 - place)
        rows.append(
            Row(
                name, "classifier", "deploy", "fp32", "contiguous", False, 1, layers=place, **values
            )
        )
    text = classifier_report(Result(machine, rows))
    assert "latency here (fp32, 1 x 3 x 224 x 224): 1.00 with layers, -1.00 with FLOPs." in text


class _Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.short = nn.Conv2d(3, 4, 1)
        self.long = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1))
        self.last = nn.Linear(4, 2)

    def forward(self, x):
        y = (self.short(x) + self.long(x)).mean((2, 3))
        return self.last(y) + y @ y.T @ y[:, :2]


@pytest.mark.slow
def test_another_size_has_no_published_figures_beside_it(few):
    text = benchmark(table="classifiers", input_size=["64"], precision=["bf16", "fp32"], rounds=1)
    lines = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("|")][2:]
    assert {line[7].strip() for line in lines} == {""}
    assert len(lines) == 2 * len(FEW)
    assert "Rank correlation of latency here (bf16, 1 x 3 x 64 x 64): " in text


def test_layers_in_sequence_are_the_longest_way():
    assert layers_in_sequence(_Branches(), torch.rand(2, 3, 8, 8)) == 4
    assert layers_in_sequence(resnet18().eval(), torch.rand(1, 3, 32, 32)) == 18
    vanillanet = switch_to_deploy(build_classifier("timm:vanillanet_5").eval())
    assert layers_in_sequence(vanillanet, torch.rand(1, 3, 32, 32)) == 9  # with activations


def test_a_network_that_is_fused_wrongly_is_found(monkeypatch):
    # mmcv takes timm's BatchNorms with an activation for BatchNorms alone.
    row = PublishedClassifier(1.0, 1.0, "timm:test_byobnet", 1.0)
    monkeypatch.setitem(CLASSIFIER_TABLE, "test", row)
    with pytest.raises(RuntimeError, match="test: fused and original logits differ by"):
        ClassifierWorkload("test", BenchmarkSettings(sizes=((64, 64),))).fused  # noqa: B018


@pytest.mark.slow
def test_gresnet_and_its_peers_in_batches(tmp_path):
    out = tmp_path / "out.json"
    options = dict(input_size=["64"], rounds=1, batch_size=[2], out=str(out))
    with pytest.raises(UserError, match="--plot: isn't for --table gresnet"):
        benchmark(table="gresnet", plot=str(tmp_path / "a.png"))
    text = benchmark(table="gresnet", **options)
    lines = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("|")][2:]
    assert [line[0].strip().partition(",")[0] for line in lines] == [*GRESNET_PEERS]
    for line, row in zip(lines, json.loads(out.read_text())["rows"]):
        assert row["input_shapes"] == [[2, 3, 64, 64]]
        assert float(line[9]) == pytest.approx(2 / row["median"], rel=0.01)
    assert "25.7" in lines[0][2]


def test_published_throughput_is_that_of_the_size(machine):
    def line(size):
        row = Row(
            "GResNet-50", "classifier", "deploy", "fp32", "contiguous", False, 64, layers=53,
            input_shapes=[(64, 3, *size)], seconds=[2.0], flops=10**9,
        )  # fmt: skip
        reference = replace(row, config="ResNet-50", seconds=[1.0])
        return classifier_report(Result(machine, [row, reference])).splitlines()[4]

    assert " 32.0 / 2057 |" in line((176, 176))
    assert " 32.0 / 1250 |" in line((224, 224))
    assert " 32.0 |" in line((64, 64))
