"""Networks of Ultralytics beside MMDetection's: evaluated, and timed."""

import json

import pytest
import torch
from torch.testing import assert_close

ultralytics = pytest.importorskip("ultralytics", reason="needs the extra yolo")

from mmdet.registry import MODELS  # noqa: E402
from ultralytics import YOLO  # noqa: E402
from ultralytics.nn import tasks  # noqa: E402

from vanillanet_det import UserError, apis  # noqa: E402
from vanillanet_det.checks.model import build_model, check_model  # noqa: E402
from vanillanet_det.configs import is_ultralytics  # noqa: E402
from vanillanet_det.models.deploy import detector_error, switch_to_deploy  # noqa: E402
from vanillanet_det.yolo.detector import ultralytics_config  # noqa: E402

SAFE = hasattr(tasks, "_SafeLoad") and tasks._SafeLoad.SUPPORTED


@pytest.fixture(scope="module")
def trained(narrow, tmp_path_factory):
    """A checkpoint of Ultralytics for the ten digits, with random weights that find something."""
    text = narrow["detect"].read_text().replace("nc: 80", "nc: 10")
    folder = tmp_path_factory.mktemp("trained")
    (folder / "yolo11n-ten.yaml").write_text(text)
    torch.manual_seed(0)
    yolo = YOLO(folder / "yolo11n-ten.yaml")
    for module in yolo.model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        yolo.model.train()(torch.rand(4, 3, 160, 160))
    for layers in yolo.model.model[-1].cv3:
        layers[-1].bias.data.fill_(-2)
        layers[-1].weight.data.normal_(0, 0.3)
    yolo.ckpt = dict(train_args=dict(task="detect", imgsz=160))
    yolo.save(folder / "ten.pt")
    return folder / "ten.pt"


needs_safe_reading = pytest.mark.skipif(not SAFE, reason="needs Ultralytics 8.4 and PyTorch 2.6")


@pytest.mark.parametrize("task", ["detect", "segment"])
def test_it_computes_what_ultralytics_computes(narrow, task, mmdet_scope):
    ours = MODELS.build(ultralytics_config(narrow[task]).model).eval()
    theirs = YOLO(narrow[task]).model.eval()
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values())))
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        found = ours.bbox_head(ours.extract_feat(image))
        assert_close(list(tensors(found)), list(tensors(theirs(image))), rtol=0, atol=0)


def tensors(value):
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from tensors(each)


def test_it_is_fused(narrow, mmdet_scope, randomize_norms):
    model = MODELS.build(ultralytics_config(narrow["detect"]).model).eval()
    fused = switch_to_deploy(model)
    assert fused.backbone[0].deploy
    assert detector_error(model, fused) < 1e-5


@needs_safe_reading
def test_predictions_are_those_of_ultralytics(trained, mmdet_scope):
    from vanillanet_det.datasets.sample_images import evaluation_pipeline, make_batches

    cfg = ultralytics_config(trained)
    model = MODELS.build(cfg.model).eval()
    image = torch.randint(0, 256, (160, 160, 3), dtype=torch.uint8).numpy()
    batch = make_batches([dict(img=image)], evaluation_pipeline(cfg), 1)[0]
    with torch.no_grad():
        found = model.test_step(batch)[0].pred_instances
    expected = YOLO(trained).predict(image, conf=0.3, iou=0.7, imgsz=160, verbose=False)[0].boxes
    # Ultralytics predicts the best class of each place alone, but evaluates all.
    ours = torch.cat([found.bboxes, found.scores[:, None], found.labels[:, None]], 1)
    distances = (expected.data[:50, None] - ours).abs().amax(2).amin(1)
    assert len(distances) == 50
    assert (distances < 1e-2).float().mean() > 0.95


@needs_safe_reading
@pytest.mark.parametrize("deploy", [True, False])
def test_evaluation(trained, small_config, tmp_path, deploy):
    metrics = apis.test(str(small_config), str(trained), str(tmp_path), deploy=deploy)
    assert 0 <= metrics["coco/bbox_mAP"] <= 1


@needs_safe_reading
def test_other_classes(small_config, narrow, tmp_path):
    with pytest.raises(UserError, match=r"its classes are 0, 1, .*, but the config's dataset has"):
        apis.test(str(small_config), str(narrow["detect"]), str(tmp_path))


@pytest.mark.skipif(SAFE, reason="these versions read it safely")
def test_nothing_is_read_unsafely(trained):
    with pytest.raises(UserError, match=r"ten\.pt: checkpoints can only be read by running code"):
        ultralytics_config(trained)


@pytest.mark.slow
def test_speed(narrow, small_config, tmp_path):
    out = tmp_path / "speed.json"
    text = apis.benchmark(
        [str(small_config), str(narrow["detect"])], input_size=["64"], rounds=1, out=str(out)
    )
    assert "yolo11n-narrow" in text
    rows = [row for row in json.loads(out.read_text())["rows"] if row["config"] == "yolo11n-narrow"]
    assert {row["form"] for row in rows} == {"training", "deploy"}
    assert all(row["flops"] > 0 for row in rows)
    of_detectors = {row["form"]: row["parameters"] for row in rows if row["part"] == "detector"}
    assert of_detectors["deploy"] < of_detectors["training"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("yolo11n.yaml", True),
        ("yolo11n-vanillanet5.yaml", True),
        ("config.yaml", False),
        ("a.pt", False),
    ],
)
def test_names(name, expected):
    assert is_ultralytics(name) == expected


def test_files(narrow, trained, tmp_path):
    assert is_ultralytics(narrow["segment"])
    assert is_ultralytics(trained)
    (tmp_path / "data.yaml").write_text("train: a\nval: b\n")
    assert not is_ultralytics(tmp_path / "data.yaml")
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    assert not is_ultralytics(tmp_path / "other.pt")


def test_a_yaml_that_cannot_be_built(tmp_path):
    (tmp_path / "wrong.yaml").write_text("nc: 3\nbackbone:\n  - [-1, 1, Nothing, []]\nhead:\n")
    with pytest.raises(UserError, match=r"wrong\.yaml: Ultralytics can't build it \("):
        ultralytics_config(tmp_path / "wrong.yaml")


def test_checks_build_it_without_data(narrow, mmdet_scope):
    cfg = ultralytics_config(narrow["detect"])
    model = build_model(cfg)
    assert check_model(model, 80, cfg.model) == []
    (finding,) = check_model(model, 3, cfg.model)
    assert "model.bbox_head.num_classes is 80, but there are 3 classes" in finding.message
