"""Options of `vanillanet-det test` are checked before it evaluates, with anybody's config."""

import pickle

import pytest

pytestmark = pytest.mark.slow
FEW = ["--cfg-options", "test_dataloader.dataset.indices=2"]


@pytest.fixture
def derive(small_config, tmp_path):
    """Function that writes a config on top of the small one."""

    def derive(text):
        path = tmp_path / "mine.py"
        path.write_text(f'_base_ = ["{small_config}"]\n{text}\n')
        return path

    return derive


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["--out", "/sys/kernel/x/r.pkl"],
            "--out /sys/kernel/x/r.pkl: folder /sys/kernel/x: can't be written (",
        ),
        (
            ["--out", "FILE/r.pkl"],
            "/r.pkl: folder FILE: can't be written (",
        ),
        (["--out", "FOLDER.pkl"], "--out FOLDER.pkl: is a folder; expected a file path"),
        (["--show-dir", "/sys/kernel/x"], "--show-dir /sys/kernel/x: can't be written ("),
    ],
)
def test_places_that_can_not_be_written(
    tool, small_config, detector_file, args, message, tmp_path, capsys
):
    names = {"FILE": str(tmp_path / "file.txt"), "FOLDER.pkl": str(tmp_path / "folder.pkl")}
    (tmp_path / "file.txt").touch()
    (tmp_path / "folder.pkl").mkdir()
    for word, path in names.items():
        args, message = [arg.replace(word, path) for arg in args], message.replace(word, path)
    work_dir = tmp_path / "w"
    assert tool("test", small_config, detector_file, "--work-dir", work_dir, *args, *FEW) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not list(work_dir.iterdir()), "it has begun"


def test_the_folder_of_the_results_is_made(tool, small_config, detector_file, tmp_path):
    out = tmp_path / "some" / "folder" / "r.pkl"
    args = ["--work-dir", tmp_path / "w", "--out", out, *FEW]
    assert tool("test", small_config, detector_file, *args) == 0
    assert len(pickle.loads(out.read_bytes())) == 2  # noqa: S301  written just now
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize(
    "text",
    [
        "default_hooks = dict(_delete_=True)",
        "visualizer = None",
        "default_hooks = dict(_delete_=True)\n"
        'custom_hooks = [dict(type="mmdet.DetVisualizationHook", score_thr=0.5)]',
    ],
)
def test_images_with_any_config(tool, derive, detector_file, tmp_path, text):
    args = [detector_file, "--show-dir", "shown", "--work-dir", tmp_path / "w", *FEW]
    assert tool("test", derive(text), *args) == 0
    assert len(list(tmp_path.glob("w/*/shown/*.png"))) == 2


@pytest.mark.parametrize("flag", ["--deploy", "--no-deploy"])
def test_the_hook_that_fuses_is_known_by_any_of_its_names(
    tool, derive, detector_file, tmp_path, flag
):
    config = derive('default_hooks = dict(deploy=dict(type="mmdet.SwitchToDeployHook"))')
    args = [detector_file, flag, "--work-dir", tmp_path / "w", *FEW]
    assert tool("test", config, *args) == 0
    (log,) = tmp_path.glob("w/*/*.log")
    assert ("Evaluating the fused model" in log.read_text()) == (flag == "--deploy")


EMA = 'dict(type="mmengine.EMAHook", ema_type="ExpMomentumEMA", update_buffers=True)'


@pytest.mark.xdist_group("export")
@pytest.mark.parametrize(
    "text", [f"default_hooks = dict(ema={EMA})", f"custom_hooks = [{EMA}]"], ids=["key", "list"]
)
def test_an_exported_file_has_no_weights_to_average(tool, derive, exported, tmp_path, text):
    args = [exported, "--work-dir", tmp_path / "w", *FEW]
    assert tool("test", derive(text), *args) == 0


@pytest.fixture(scope="module")
def exported(tool, small_config, detector_file, tmp_path_factory):
    target = tmp_path_factory.mktemp("exported") / "small.onnx"
    args = ["--out", target, "--input-size", 160, "--batch-size", 1]
    args += ["--cfg-options", "model.test_cfg.score_thr=0.05"]
    assert tool("export", small_config, detector_file, *args) == 0
    return target
