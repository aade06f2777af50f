"""Fine-tuning of YOLO11-VanillaNet, with the readers and the report of other detectors."""

import json
from types import SimpleNamespace

import pytest

ultralytics = pytest.importorskip("ultralytics", reason="needs the extra yolo")

from ultralytics.nn import tasks  # noqa: E402

from vanillanet_det import UserError, apis  # noqa: E402
from vanillanet_det.finetune.options import FinetuneOptions  # noqa: E402
from vanillanet_det.finetune.yolo import find_yaml, is_yolo  # noqa: E402
from vanillanet_det.yolo.data import write_yolo  # noqa: E402
from vanillanet_det.yolo.networks import open_network  # noqa: E402

SAFE = hasattr(tasks, "_SafeLoad") and tasks._SafeLoad.SUPPORTED


@pytest.mark.parametrize(
    ("model", "backbone", "expected"),
    [
        ("yolo11", None, "yolo11n-vanillanet5.yaml"),
        ("yolo11s", "vanillanet9", "yolo11s-vanillanet9.yaml"),
        ("yolo11x-vanillanet11", None, "yolo11x-vanillanet11.yaml"),
        ("yolo11n.yaml", None, "yolo11n.yaml"),
    ],
)
def test_names(model, backbone, expected):
    assert is_yolo(model)
    assert find_yaml(FinetuneOptions(model=model, backbone=backbone)) == expected


@pytest.mark.parametrize("model", [None, "small", "retinanet", "yolox", "yolo11q", "config.py"])
def test_others(model):
    assert not is_yolo(model)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(model="yolo11", backbone="gresnet50"), r"--backbone gresnet50: expected vanillanet5"),
        (dict(model="yolo11n.yaml", backbone="vanillanet5"), r"--backbone vanillanet5: yolo11n"),
        (dict(model="yolo11", freeze=1), r"--freeze: isn't for --model yolo11"),
        (dict(model="yolo11", merged=True), r"--merged: isn't for --model yolo11"),
    ],
)
def test_what_is_not_for_it(options, message):
    with pytest.raises(UserError, match=message):
        find_yaml(FinetuneOptions(**options))


def test_yolo_format(tmp_path):
    (tmp_path / "a b").mkdir()
    for name in ("a b/1.jpg", "2.jpg"):
        (tmp_path / name).write_bytes(b"")
    images = [
        dict(id=7, file_name="a b/1.jpg", width=200, height=100),
        dict(id=8, file_name="2.jpg", width=10, height=10),
    ]
    annotations = [
        dict(image_id=7, category_id=3, bbox=[20, 10, 100, 50]),
        dict(image_id=7, category_id=5, bbox=[-20, 60, 100, 50], iscrowd=0),
        dict(image_id=7, category_id=5, bbox=[0, 0, 9, 9], iscrowd=1),
    ]
    categories = [dict(id=3, name="ä"), dict(id=5, name="b: c")]
    coco = dict(images=images, annotations=annotations, categories=categories)
    for _ in range(2):  # a second run replaces the links
        path, crowds = write_yolo(dict(train=coco, val=coco), tmp_path, tmp_path / "yolo")
    assert crowds == 2
    lines = (path.parent / "labels/train/000000.txt").read_text().splitlines()
    assert lines == [
        "0 0.350000 0.350000 0.500000 0.500000",
        "1 0.200000 0.800000 0.400000 0.400000",
    ]
    assert (path.parent / "labels/val/000001.txt").read_text() == ""
    assert (path.parent / "images/val/000001.jpg").resolve() == (tmp_path / "2.jpg").resolve()
    from ultralytics.data.utils import check_det_dataset

    assert check_det_dataset(str(path))["names"] == {0: "ä", 1: "b: c"}


@pytest.mark.skipif(not SAFE, reason="needs Ultralytics 8.4 and PyTorch 2.6")
@pytest.mark.parametrize("model", ["yolo11s", "yolo11n.yaml"])
def test_a_name_with_a_scale(small_digits, tmp_path, model):
    """The YAML of all scales is found, and the copy is of that scale."""
    options = dict(work_dir=str(tmp_path), device="cpu", input_size="64", dry_run=True)
    apis.finetune(str(small_digits), model, **options)
    (written,) = tmp_path.glob("*.yaml")
    named = find_yaml(FinetuneOptions(model=model))
    found, expected = open_network(written), open_network(named)
    assert found.model[-1].nc == 10
    assert found.model[-2].cv1.conv.weight.shape == expected.model[-2].cv1.conv.weight.shape


@pytest.fixture(scope="module")
def run(narrow, small_digits, tmp_path_factory):
    """A run of two epochs on a few scenes, and its resumption."""
    folder = tmp_path_factory.mktemp("finetuned")
    options = dict(model=str(narrow["detect"]), work_dir=str(folder), device="cpu")
    options.update(input_size="64", batch_size=8)
    apis.finetune(str(small_digits), epochs=3, **options)
    return SimpleNamespace(folder=folder, options=options, data=str(small_digits))


@pytest.mark.slow
@pytest.mark.skipif(not SAFE, reason="needs Ultralytics 8.4 and PyTorch 2.6")
def test_it_is_trained_evaluated_and_reported(run, capsys):
    assert (run.folder / "ultralytics/weights/best.pt").is_file()
    report = (run.folder / "report.html").read_text()
    assert "UltralyticsDetector" in report
    assert "Train longer: --work-dir ANOTHER --epochs 6" in report
    logs = "".join(path.read_text() for path in run.folder.glob("*/vis_data/scalars.json"))
    lines = [json.loads(line) for line in logs.splitlines()]
    assert [line["act_lambda"] for line in lines if "loss" in line] == [0, 1, 1]
    assert sum("coco/bbox_mAP" in line for line in lines) == 3
    assert run.folder.joinpath("yolo11n-narrow.yaml").read_text().count("nc: 10") == 1


@pytest.mark.slow
@pytest.mark.skipif(not SAFE, reason="needs Ultralytics 8.4 and PyTorch 2.6")
def test_a_run_is_not_made_longer(run):
    options = dict(work_dir=str(run.folder), device="cpu", resume=True)
    with pytest.raises(UserError, match=r"--epochs: Ultralytics can't make a run longer"):
        apis.finetune(run.data, epochs=9, **options)


@pytest.mark.skipif(not SAFE, reason="needs Ultralytics 8.4 and PyTorch 2.6")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(model="segment"), r"yolo11n-narrow-seg\.yaml: learns masks"),
        (dict(model="detect", weights="no.pth"), r"no\.pth: there is no such file"),
        (dict(model="detect", weights="no.pt"), r"no\.pt: there is no such file"),
    ],
)
def test_mistakes_before_training(narrow, small_digits, tmp_path, options, message):
    options["model"] = str(narrow[options["model"]])
    with pytest.raises(UserError, match=message):
        apis.finetune(str(small_digits), work_dir=str(tmp_path), device="cpu", **options)
