"""Exported files in their engines, and errors if one can't be opened."""

import shutil
import sys
import time

import numpy as np
import pytest

from vanillanet_det import UserError
from vanillanet_det.runtime import Detector
from vanillanet_det.runtime.engines import open_engine

ENGINES = [("a.onnx", "onnxruntime"), ("a.onnx", "openvino"), ("a.xml", "openvino")]


@pytest.mark.parametrize(("name", "engine"), ENGINES)
def test_all_engines_compute_the_same(name, engine, make_file, onnx_file, tmp_path, images):
    folder = tmp_path / "größer 图"
    folder.mkdir()
    path = make_file(folder / name, mask_threshold=0.5)
    opened = open_engine(path, engine)
    assert opened.name.startswith(
        {"onnxruntime": "ONNX Runtime 1", "openvino": "OpenVINO 20"}[engine]
    )
    assert opened.precision == "fp32"
    assert opened.metadata.classes == ("cat", "dog", "größer")
    outputs = opened.run(images[0][None])
    assert outputs["masks"].shape == (1, 40, 28, 28)
    expected = open_engine(onnx_file).run(images[0][None])
    assert len(expected) == 3
    for key, value in expected.items():
        np.testing.assert_allclose(outputs[key], value, atol=1e-6)


@pytest.mark.parametrize(("name", "engine"), ENGINES)
def test_idle_threads_do_not_spin(name, engine, make_file, tmp_path, images):
    opened = open_engine(make_file(tmp_path / name), engine, threads=2)
    for _ in range(3):
        opened.run(images[0][None])
    time.sleep(0.005)
    before = time.process_time()
    time.sleep(0.05)
    assert time.process_time() - before < 0.005


def test_the_suffix_chooses_the_engine(onnx_file, xml_file):
    assert open_engine(onnx_file).name.startswith("ONNX Runtime")
    assert open_engine(str(onnx_file), engine="openvino").name.startswith("OpenVINO")
    assert open_engine(xml_file).name.startswith("OpenVINO")


@pytest.mark.parametrize("precision", ["bf16", "fp16", "int8", "fp32"])
def test_openvino_uses_the_precision_of_the_file(precision, make_file, tmp_path):
    engine = open_engine(make_file(tmp_path / "a.xml", precision=precision))
    compiled = engine._requests.get().get_compiled_model()
    hint = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    # A CPU without bf16 instructions computes in fp32, and reports that.
    allowed = ("bf16", "f32") if precision == "bf16" else ("f32",)
    assert hint in allowed
    assert engine.precision == ("int8" if precision == "int8" else hint.replace("f32", "fp32"))


@pytest.mark.parametrize(
    ("precision", "hint"), [("fp32", "f32"), ("int8", "f32"), ("bf16", "bf16"), ("fp16", "f32")]
)
def test_openvino_is_always_given_the_precision(precision, hint, make_file, tmp_path, monkeypatch):
    import openvino

    given = []
    compile_model = openvino.Core.compile_model

    def recorded(core, model, device, settings):
        given.append(settings)
        return compile_model(core, model, device, settings)

    monkeypatch.setattr(openvino.Core, "compile_model", recorded)
    open_engine(make_file(tmp_path / "a.xml", precision=precision), threads=3, streams=2)
    expected = {"INFERENCE_PRECISION_HINT": hint, "NUM_STREAMS": 2, "INFERENCE_NUM_THREADS": 3}
    assert given == [expected]


@pytest.mark.parametrize(
    ("threads", "streams", "each"), [(4, 2, 2), (1, 2, 1), (3, 1, 3), (None, 1, 0)]
)
def test_streams_of_onnxruntime_share_the_threads(threads, streams, each, onnx_file):
    engine = open_engine(onnx_file, threads=threads, streams=streams)
    assert engine._session.get_session_options().intra_op_num_threads == each


def test_fp16_runs_in_fp32_on_cpus_without_fp16_kernels(make_file, tmp_path, monkeypatch):
    path = make_file(tmp_path / "a.onnx", precision="fp16")
    for machine, precision in (("x86_64", "fp32"), ("aarch64", "fp16")):
        monkeypatch.setattr("platform.machine", lambda name=machine: name)
        assert open_engine(path).precision == precision


def cut(path, share=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def test_a_truncated_file(any_file, tmp_path):
    for file in any_file.parent.glob("a.*"):
        shutil.copy(file, tmp_path)
    cut(tmp_path / any_file.name)
    with pytest.raises(
        UserError, match=r"a\.\w+: \w+.* can't open it .*truncated.*export it again"
    ):
        Detector(tmp_path / any_file.name)
    (tmp_path / any_file.name).write_bytes(b"")
    with pytest.raises(UserError, match=r"is empty; copy it"):
        Detector(tmp_path / any_file.name)


def test_a_truncated_onnx_file_in_openvino_is_one_sentence(onnx_file, tmp_path, capfd):
    path = shutil.copy(onnx_file, tmp_path / "b.onnx")
    cut(path)
    with pytest.raises(UserError, match=r"b\.onnx: OpenVINO .* can't open it"):
        Detector(path, engine="openvino")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("share", [0, 0.5, None])
def test_missing_or_truncated_openvino_weights(share, xml_file, tmp_path):
    for suffix in (".xml", ".bin"):
        shutil.copy(xml_file.with_suffix(suffix), tmp_path)
    weights = tmp_path / "detector.bin"
    if share is None:
        weights.unlink()
        message = r"detector\.bin: there is no such file, which detector\.xml needs beside it"
    else:
        cut(weights, share)
        message = r"detector\.xml: OpenVINO .* can't open it .*truncated"
    with pytest.raises(UserError, match=message):
        Detector(tmp_path / "detector.xml")


@pytest.mark.parametrize("name", ["a.onnx", "a.xml"])
def test_files_of_another_kind(name, make_file, metadata, tmp_path):
    path = tmp_path / name
    make_file(path, text=None)
    with pytest.raises(UserError, match=r"has no metadata .*written by vanillanet-det export"):
        Detector(path)
    make_file(path, kind="backbone")
    assert "feature_0" in open_engine(path).run(np.zeros((1, 16, 16, 3), np.uint8))
    with pytest.raises(UserError, match=r"is a backbone's file.*export the whole detector"):
        Detector(path)
    make_file(path, format_version=3)
    with pytest.raises(UserError, match=r"format_version is 3 but .* reads 2 at most; upgrade"):
        Detector(path)


def test_files_that_are_not_exported(tmp_path, onnx_file, xml_file):
    (tmp_path / "a.pth").write_bytes(b"PK")
    for name in ("a.pth", "nothing.engine"):
        with pytest.raises(
            UserError, match=rf"{name}: expected a \.onnx or \.xml.*vanillanet-det export"
        ):
            Detector(tmp_path / name)
    for name in ("nothing.onnx", "nothing.xml"):
        with pytest.raises(UserError, match=rf"{name}: there is no such file; copy"):
            Detector(tmp_path / name)
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(UserError, match=r"folder\.onnx: there is no such file"):
        Detector(tmp_path / "folder.onnx")


@pytest.mark.parametrize(
    ("name", "engine", "message"),
    [
        ("onnxruntime", "onnxruntime", r"onnxruntime is needed.*pip install onnxruntime"),
        ("openvino", "openvino", r"openvino is needed.*pip install openvino"),
    ],
)
def test_a_missing_engine(name, engine, message, onnx_file, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=message):
        Detector(onnx_file, engine=engine)


def test_openvino_is_the_fallback_of_onnxruntime(onnx_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert Detector(onnx_file).engine.name.startswith("OpenVINO")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UserError, match=r"onnxruntime is needed.*pip install onnxruntime"):
        Detector(onnx_file)


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "gpu:9", "cpu:1", "tpu", "", "cuda:x"])
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_missing_device(device, engine, onnx_file):
    import onnxruntime

    has_cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if has_cuda and engine == "onnxruntime" and device.startswith("cuda"):
        pytest.skip("it may be there")
    with pytest.raises(UserError, match=rf"device '{device}': O\w+ .*supports cpu.* here; choose"):
        Detector(onnx_file, engine=engine, device=device)


def test_wrong_arguments(onnx_file, xml_file):
    with pytest.raises(UserError, match=r"engine 'torch': expected onnxruntime or openvino"):
        Detector(onnx_file, engine="torch")
    with pytest.raises(UserError, match=r"detector\.xml: is an OpenVINO file; leave engine out"):
        Detector(xml_file, engine="onnxruntime")
    with pytest.raises(UserError, match=r"threads 0: expected a positive"):
        Detector(onnx_file, threads=0)
    with pytest.raises(UserError, match=r"streams 0: expected a positive"):
        Detector(onnx_file, streams=0)
    with pytest.raises(UserError, match=r"score 2: expected a number from 0 to 1"):
        Detector(onnx_file, score=2)


@pytest.mark.slow
def test_signals_are_handled_after_detectors_are_deleted(bare, xml_file):
    done = bare(
        "-c",
        "import gc, os, signal\n"
        "from vanillanet_det.runtime import Detector\n"
        f"first, second = Detector({str(xml_file)!r}), Detector({str(xml_file)!r})\n"
        "del first; gc.collect()\n"
        "del second; gc.collect()\n"
        "signal.signal(signal.SIGUSR1, lambda *_: print('handled'))\n"
        "os.kill(os.getpid(), signal.SIGUSR1)\n",
    )
    assert (done.returncode, done.stdout) == (0, "handled\n")


@pytest.mark.slow
def test_a_forked_process_does_not_wait_for_threads(bare, xml_file, onnx_file):
    done = bare(
        "-c",
        "import os, numpy\n"
        "from vanillanet_det.runtime import Detector\n"
        f"detectors = [Detector({str(xml_file)!r}), Detector({str(onnx_file)!r})]\n"
        "for detector in detectors: detector(numpy.zeros((40, 40, 3), 'uint8'))\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    del detector, detectors\n"
        "    os._exit(7)\n"
        "print(os.waitpid(child, 0)[1] >> 8)\n",
    )
    assert (done.returncode, done.stdout) == (0, "7\n")
