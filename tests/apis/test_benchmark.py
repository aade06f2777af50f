"""A benchmark of small detectors, from configs to tables; a sentence for every mistake."""

import json
from functools import partial

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from vanillanet_det import UserError
from vanillanet_det.apis import benchmark
from vanillanet_det.apis.benchmark import _names
from vanillanet_det.benchmark.networks import fuse, load_network
from vanillanet_det.benchmark.run import detector_candidates, run
from vanillanet_det.benchmark.settings import BenchmarkSettings
from vanillanet_det.engine.config import read_config

QUICK = dict(input_size=["64x96"], rounds=2)


@pytest.fixture(scope="module")
def rows(small_config, tmp_path_factory):
    """Figures of one run in all forms, precisions and layouts, compiled or not."""
    out = tmp_path_factory.mktemp("out") / "figures.json"
    text = benchmark(
        [str(small_config)],
        precision=["fp32", "bf16"],
        memory_format=["contiguous", "channels-last"],
        batch_size=[1, 2],
        out=str(out),
        **QUICK,
    )
    return text, json.loads(out.read_text())


@pytest.mark.slow
def test_every_combination_is_a_row(rows):
    _, content = rows
    keys = ("part", "form", "precision", "layout", "batch_size")
    found = [tuple(row[key] for key in keys) for row in content["rows"]]
    assert len(found) == len(set(found)) == 32
    for row in content["rows"]:
        assert row["input_shapes"] == [[row["batch_size"], 3, 64, 96]]
        assert len(row["seconds"]) == 2
        assert min(row["seconds"]) > 0
        assert (row["boxes"] is None) == (row["part"] == "backbone")
        assert row["checkpoint"] is None


def test_what_is_compared_is_measured_one_after_the_other(rows):
    kinds = [(row["part"], row["batch_size"]) for row in rows[1]["rows"]]
    changes = sum(one != other for one, other in zip(kinds, kinds[1:]))
    assert changes == len(set(kinds)) - 1


def test_what_is_fused_is_smaller_and_counted_as_it_is(rows):
    by_kind = {}
    for row in rows[1]["rows"]:
        by_kind.setdefault((row["part"], row["form"]), row)
    for part in ("backbone", "detector"):
        training, fused = by_kind[part, "training"], by_kind[part, "deploy"]
        assert fused["parameters"] < training["parameters"]
        assert fused["flops"] < training["flops"]
        assert fused["share"] > 0
    assert by_kind["detector", "deploy"]["flops"] > by_kind["backbone", "deploy"]["flops"]


def test_a_detector_is_also_timed_by_part(rows):
    for row in rows[1]["rows"]:
        if row["part"] == "detector":
            assert {"backbone stem", "backbone stage 1", "neck", "head"} < set(row["parts"])
            assert min(row["parts"].values()) > 0
        else:
            assert row["parts"] == {}


def test_the_text_shows_the_speedup(rows):
    text, content = rows
    assert "fused" in text
    assert "random weights" in text
    ratio = next(row["ratio"] for row in content["rows"] if row["form"] == "deploy")
    assert f"{ratio:.2f}x" in text


@pytest.mark.slow
def test_a_checkpoint_and_what_it_lacks(small_config, tmp_path):
    with DefaultScope.overwrite_default_scope("mmdet"):
        cfg = read_config(str(small_config))
        cfg.model.backbone.norm_cfg = dict(type="BN")
        from mmdet.registry import MODELS

        state = MODELS.build(cfg.model).state_dict()
    gone = ["bbox_head.retina_cls.bias", "neck.fpn_convs.0.conv.weight"]
    torch.save(
        {"state_dict": {k: v for k, v in state.items() if k not in gone}}, tmp_path / "a.pth"
    )
    out = tmp_path / "figures.json"
    text = benchmark([str(small_config)], weights=[str(tmp_path / "a.pth")], out=str(out), **QUICK)
    row = json.loads(out.read_text())["rows"][0]
    assert sorted(row["missing"]) == gone
    assert "random weights" not in text


@pytest.mark.slow
def test_random_weights_find_boxes(small_config):
    with DefaultScope.overwrite_default_scope("mmdet"):
        cfg = read_config(str(small_config))
        settings = BenchmarkSettings(sizes=((96, 96),), parts=("detector",), rounds=1)
        result = run(partial(detector_candidates, [("small", cfg, None)]), settings)
    assert all(row.boxes > 5 for row in result.rows)


def test_batchnorms_of_other_networks_are_folded(root, tmp_path):
    config = tmp_path / "resnet.py"
    config.write_text(
        f"_base_ = '{root}/configs/retinanet_resnet50_coco.py'\n"
        "model = dict(backbone=dict(depth=18, base_channels=8), neck=dict(in_channels=[16, 32, 64],"
        "out_channels=16), bbox_head=dict(in_channels=16, feat_channels=16, stacked_convs=1))\n"
    )
    with DefaultScope.overwrite_default_scope("mmdet"):
        cfg = Config.fromfile(config)
        from vanillanet_det.datasets.sample_images import (
            evaluation_pipeline,
            find_images,
            make_batches,
        )

        batch = make_batches(find_images(), evaluation_pipeline(cfg, (64, 96)), 1)[0]
        network = load_network("resnet", cfg, None, batch)
        fused = fuse(network)
    assert (network.form, fused.form) == ("training", "deploy")
    assert "bn1" not in dict(fused.model.backbone.named_parameters())
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in fused.model.modules())
    assert any(isinstance(m, torch.nn.BatchNorm2d) for m in network.model.modules())


@pytest.mark.slow
def test_compiled(small_config, tmp_path):
    out = tmp_path / "figures.json"
    benchmark(
        [str(small_config)],
        compile=True,
        part=["backbone"],
        form=["deploy"],
        memory_format=["contiguous"],
        out=str(out),
        **QUICK,
    )
    rows = json.loads(out.read_text())["rows"]
    assert [row["mode"] for row in rows] == ["eager", "compiled"]


@pytest.mark.slow
def test_other_engines(small_config, tmp_path):
    out = tmp_path / "figures.json"
    text = benchmark(
        [str(small_config)],
        engine=["pytorch", "openvino", "openvino"],
        part=["backbone"],
        form=["deploy"],
        out=str(out),
        **QUICK,
    )
    rows = json.loads(out.read_text())["rows"]
    assert [row["engine"].split()[0] for row in rows] == ["PyTorch", "OpenVINO"]
    assert f" {rows[1]['engine']} " in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(configs=[]), "expected one or more config files, or --table"),
        (dict(table="detectors"), "--table detectors: chooses the networks itself"),
        (dict(weights=["a", "b"]), "--weights: 2 files for 1 configs"),
        (dict(weights=["nowhere.pth"]), "nowhere.pth"),
        (dict(input_size=["12"]), "--input-size 12: expected a side such as 320"),
        (dict(input_size=["64x"]), "--input-size 64x: expected"),
        (dict(batch_size=[0]), "--batch-size 0: expected a positive integer"),
        (dict(rounds=0), "--rounds 0: expected"),
        (dict(threads=-1), "--threads -1: expected"),
        (dict(seconds=0.0), "--seconds 0: expected a number above 0"),
        (dict(out="a.txt"), r"--out a.txt: expected a path ending in .json or .csv"),
        (dict(plot="a.jpg"), r"--plot a.jpg: expected a path ending in .png"),
        (dict(plot="nowhere/a.png"), "--plot nowhere/a.png: folder nowhere doesn't exist"),
        (dict(device="tpu"), "--device tpu: can't be used here"),
        (dict(device="meta"), "--device meta: expected cpu or cuda"),
        (dict(images="nowhere"), "--images nowhere: there is no such folder"),
        (dict(exported=["nowhere.xml"]), r"nowhere.xml: there is no such file"),
        (
            dict(engine=["onnxruntime"], precision=["bf16"]),
            "--engine onnxruntime --precision bf16: ONNX Runtime has no convolution in bf16",
        ),
    ],
)
def test_mistakes_are_one_sentence(small_config, arguments, message):
    with pytest.raises(UserError, match=message):
        benchmark(**{"configs": [str(small_config)], **QUICK, **arguments})


@pytest.mark.skipif(torch.__version__ >= (2, 2), reason="PyTorch computes in fp16 since 2.2")
def test_fp16_on_the_cpu_of_an_old_pytorch(small_config):
    with pytest.raises(UserError, match=r"--precision fp16: PyTorch 2\.1.* can't compute in it"):
        benchmark([str(small_config)], **{**QUICK, "precision": ["fp16"]})


def test_outputs_are_checked_before_anything_is_measured(small_config, tmp_path):
    folder = tmp_path / "a.json"
    folder.mkdir()
    with pytest.raises(
        UserError, match=r"--out .*a\.json: can't be written because it is a folder"
    ):
        benchmark([str(small_config)], out=str(folder), rounds=-1)


def test_what_was_measured_is_printed_where_it_cant_be_written(
    small_config, small_disk, capsys, monkeypatch
):
    (small_disk / "filler").write_bytes(bytes(64 * 1024))
    with pytest.raises(UserError, match=r"--out .*a\.json: can't be written \(No space left"):
        benchmark(
            [str(small_config)],
            part=["backbone"],
            input_size=["64"],
            rounds=1,
            out=str(small_disk / "a.json"),
        )
    assert "matrix product, fp32" in capsys.readouterr().out


def test_names_tell_networks_apart():
    assert _names(["a/x.py", "a/y.py"], [None, None]) == ["x", "y"]
    assert _names(["a/x.py", "b/x.py"], ["1.pth", "2.pth"]) == ["a/x", "b/x"]
    assert _names(["a/x.py", "a/x.py"], ["1.pth", "2.pth"]) == ["a/x 1", "a/x 2"]
    for files in ([None, None], ["1.pth", "1.pth"]):
        with pytest.raises(UserError, match="have the same config and weights"):
            _names(["a/x.py", "a/x.py"], files)


def test_a_model_that_is_no_detector(small_config, tmp_path):
    config = tmp_path / "other.py"
    config.write_text(
        f"_base_ = '{small_config}'\nmodel = dict(_delete_=True, type='FPN', in_channels=[8], "
        "out_channels=8, num_outs=1)\n"
    )
    with pytest.raises(UserError, match=r"other.py: the model is a FPN, expected one"):
        benchmark([str(config)], **QUICK)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_cuda_is_refused(small_config):
    with pytest.raises(UserError, match=r"--device cuda: can't be used here \(.*\); use cpu"):
        benchmark([str(small_config)], device="cuda", **QUICK)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_on_a_gpu(small_config, precision, tmp_path):
    out = tmp_path / "figures.json"
    benchmark([str(small_config)], device="cuda", precision=[precision], out=str(out), **QUICK)
    content = json.loads(out.read_text())
    assert content["machine"]["device"].startswith("cuda")
    assert all(row["peak_bytes"] > 0 and row["seconds"] for row in content["rows"])


def test_the_number_of_threads_is_put_back(small_config):
    before = torch.get_num_threads()
    benchmark([str(small_config)], threads=before + 1, part=["backbone"], form=["deploy"], **QUICK)
    assert torch.get_num_threads() == before
