"""`vanillanet-det export`, and `vanillanet-det test` and the runtime on its files."""

import copy
import importlib
import importlib.util
import pickle
import re

import pytest
import torch
from mmengine.config import Config
from torch.testing import assert_close

if torch.__version__ < (2, 6):
    pytest.skip("exporting needs PyTorch 2.6", allow_module_level=True)

from vanillanet_det.export import exporter as exporter_module
from vanillanet_det.runtime import Detector

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("export")]
THRESHOLD = ["--cfg-options", "model.test_cfg.score_thr=0.05"]
FIXED = ["--input-size", 160, "--batch-size", 1]


@pytest.fixture(scope="module", autouse=True)
def _traced_once():
    """Trace each graph once: that is slow, and all tests here export the same detector."""
    graphs, to_onnx = {}, exporter_module.to_onnx

    def traced(form, *args):
        return copy.deepcopy(graphs.get(args) or graphs.setdefault(args, to_onnx(form, *args)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporter_module, "to_onnx", traced)
        yield


@pytest.fixture(scope="module")
def exported(tool, small_config, detector_file, tmp_path_factory):
    """An exported file of the small RetinaNet."""
    target = tmp_path_factory.mktemp("exported") / "small.onnx"
    args = [small_config, detector_file, "--out", target, *FIXED, *THRESHOLD]
    assert tool("export", *args) == 0
    return target


def test_a_file_is_evaluated_as_its_checkpoint_is(
    tool, small_config, detector_file, exported, tmp_path
):
    results = []
    for model in (detector_file, exported):
        out = tmp_path / f"{model.suffix}.pkl"
        args = ["--work-dir", tmp_path / "w", "--out", out, *THRESHOLD]
        assert tool("test", small_config, model, *args) == 0
        results.append(pickle.loads(out.read_bytes()))  # noqa: S301 (written here)
    assert len(results[0]) == len(results[1]) == 6
    for expected, found in zip(*results):
        assert found["img_id"] == expected["img_id"]
        expected, found = expected["pred_instances"], found["pred_instances"]
        assert len(expected["scores"]) > 5
        assert_close(found["bboxes"], expected["bboxes"], rtol=0, atol=0.01)
        assert_close(found["scores"], expected["scores"], rtol=0, atol=1e-4)
        assert_close(found["labels"], expected["labels"])


def test_the_report_tells_the_differences(tool, small_config, detector_file, tmp_path, capsys):
    target = tmp_path / "deep" / "small.xml"
    args = ["--format", "openvino", "--out", target, *FIXED, *THRESHOLD]
    assert tool("export", small_config, detector_file, *args) == 0
    printed = capsys.readouterr().out
    assert re.search(r"small\.xml: detector, fp32, 0\.\d MB, compared with PyTorch on \d+", printed)
    assert re.search(r"(\d+) of \1 detections matched, \1 found; worst box", printed)
    assert sorted(file.name for file in target.parent.iterdir()) == ["small.bin", "small.xml"]
    metadata = Detector(target).metadata
    assert metadata.classes == tuple("0123456789")
    assert (metadata.input_size, metadata.batch_size) == ((160, 160), 1)
    assert metadata.score_threshold == pytest.approx(0.05)
    assert metadata.resize.scale == (160, 160)
    assert metadata.opset == 18
    assert "torch" in metadata.versions


def test_int8_is_evaluated_and_refused_if_it_loses_too_much(
    tool, small_config, detector_file, tmp_path, capsys, monkeypatch
):
    args = [small_config, detector_file, "--precision", "int8", *FIXED]
    args += ["--out", tmp_path / "int8.onnx"]
    options = [*THRESHOLD, f"data_root={Config.fromfile(small_config).data_root}"]
    module = importlib.import_module("vanillanet_det.apis.export")
    evaluate, precisions = module.test, []
    results = iter([0.5, 0.495, 0.5, 0.48, 0.0, 0.0])

    def test(config, file, *args, **kwargs):
        precisions.append(Detector(file).metadata.precision)
        if len(precisions) <= 2:  # the AP of a random detector is arbitrary
            assert "coco/bbox_mAP" in evaluate(config, file, *args, **kwargs)
        return {"coco/bbox_mAP": next(results)}

    monkeypatch.setattr(module, "test", test)
    assert tool("export", *args, *options) == 0
    assert "bbox AP 0.500 in fp32, 0.495 in int8: -0.005" in capsys.readouterr().out
    assert precisions == ["fp32", "int8"]
    (tmp_path / "int8.onnx").unlink()
    assert tool("export", *args, *options) == 2
    assert "0.500 in fp32, 0.480 in int8: -0.020; the drop exceeds --max-drop 0.01" in (
        capsys.readouterr().err
    )
    assert tool("export", *args, *options) == 2
    assert (
        "can't measure the drop, because the AP is 0 or missing in fp32" in capsys.readouterr().err
    )
    assert not list(tmp_path.iterdir())


def test_impossible_paths(tool, small_config, detector_file, tmp_path, capsys):
    (tmp_path / "a.onnx").mkdir()
    assert tool("export", small_config, detector_file, "--out", tmp_path / "a.onnx") == 2
    assert "expected a path ending in .onnx" in capsys.readouterr().err
    assert tool("export", small_config, "https://example.org/a.pth") == 2
    assert "is a URL, so there is no default path; pass --out FILE.onnx" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--out", "a.xml"], r"--out a\.xml: expected a path ending in \.onnx"),
        (["--batch-size", 0], r"--batch-size 0: expected a positive integer"),
        (["--input-size", "8"], r"--input-size 8: expected a side such as 320"),
        (["--max-drop", 3], r"--max-drop 3: expected a drop in AP"),
        (["--calibration-images", 0], r"--calibration-images 0: expected"),
        (["--part", "backbone", "--no-nms"], r"--part backbone: a backbone has no boxes"),
        (["--images", "nowhere"], r"--images nowhere: there is no such folder"),
        (
            ["--precision", "int8", "--calibration", "nowhere"],
            r"--calibration nowhere: there is no such folder",
        ),
    ],
)
def test_wrong_arguments_are_one_sentence(
    tool, small_config, detector_file, args, message, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert tool("export", small_config, detector_file, *args) == 2
    error = capsys.readouterr().err
    assert re.search(f"error: {message}", error)
    assert "Traceback" not in error
    assert not list(tmp_path.rglob("*.onnx"))


def test_pytorch_that_is_too_old(tool, small_config, detector_file, capsys, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.5.1+cpu")
    assert tool("export", small_config, detector_file) == 2
    assert "PyTorch 2.5.1+cpu: its exporter lacks" in capsys.readouterr().err


def test_packages_that_are_missing(tool, small_config, detector_file, capsys, monkeypatch):
    find, missing = importlib.util.find_spec, {"onnxscript", "nncf"}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in missing else find(name)
    )
    assert tool("export", small_config, detector_file) == 2
    assert "fp32: needs onnxscript: pip install -e '.[lite,export]'" in capsys.readouterr().err
    assert tool("export", small_config, detector_file, "--precision", "int8") == 2
    assert "int8: needs onnxscript, nncf: pip install -e '.[lite,int8]'" in capsys.readouterr().err


def test_images_are_detected_in_with_a_file(
    tool, detector_file, exported, small_digits, tmp_path, capsys
):
    summaries = []
    for model in (detector_file, exported):
        args = ["--out", tmp_path / model.suffix, "--score", 0.1, "--no-draw"]
        assert tool("infer", model, small_digits / "val", *args) == 0
        summaries.append(capsys.readouterr().out.partition(" in ")[0])
    assert summaries[0] == summaries[1]
    assert re.match(r"6 images, [1-9]\d* objects", summaries[0])
    assert (
        tool("infer", exported, small_digits / "val", "--config", "retinanet_vanillanet5_digits")
        == 2
    )
    assert "small.onnx is exported and needs no config" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--tta"], r"--tta: .*small\.onnx is exported, which rules this option out"),
        (["--no-deploy"], r"--no-deploy: .*small\.onnx is exported"),
        (["--launcher", "pytorch"], r"--launcher: .*small\.onnx is exported"),
    ],
)
def test_options_that_an_exported_file_does_not_take(
    tool, small_config, exported, args, message, capsys, tmp_path
):
    assert tool("test", small_config, exported, "--work-dir", tmp_path, *args) == 2
    assert re.search(f"error: {message}", capsys.readouterr().err)


def test_classes_of_another_dataset(tool, small_config, exported, capsys, tmp_path):
    other = tmp_path / "other.py"
    names = tuple("01234")
    other.write_text(
        f"_base_ = '{small_config}'\n"
        f"model = dict(bbox_head=dict(num_classes={len(names)}))\n"
        f"test_dataloader = dict(dataset=dict(metainfo=dict(classes={names})))\n"
    )
    assert tool("test", other, exported, "--work-dir", tmp_path / "w") == 2
    error = capsys.readouterr().err
    assert "small.onnx: its classes are 0, 1, 2" in error
    assert "Traceback" not in error


def test_a_broken_file(tool, small_config, exported, capsys, tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(exported.read_bytes()[:1000])
    assert tool("test", small_config, broken, "--work-dir", tmp_path / "w") == 2
    error = capsys.readouterr().err
    assert "broken.onnx: " in error
    assert "may be truncated" in error
    assert "Traceback" not in error
