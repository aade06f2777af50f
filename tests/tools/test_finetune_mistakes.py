"""A sentence for each mistake of who fine-tunes."""

import pytest

from vanillanet_det.datasets.examples import write_example


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--epochs", "0"], "--epochs 0: expected a whole number from 1"),
        (["--batch-size", "0"], "--batch-size 0: expected a whole number from 1"),
        (["--lr", "nan"], "--lr nan: expected a number above 0"),
        (["--image-size", "12"], "--image-size 12: expected a side"),
        (["--augment", "none", "flip"], "--augment none: stands alone"),
        (["--weights", "no.pth"], "no.pth"),
        (["--model", "yolo"], "config yolo: there is no such file"),
        (["--arch", "4"], "arch '4' but expected one of"),
        (["--freeze", "-5"], "--freeze -5: expected the last stage to keep, from 0"),
        (["--freeze", "0"], "--freeze 0: needs --weights; what is random learns nothing"),
        (["--freeze", "99", "--weights", "WEIGHTS"], "frozen_stages 99"),
        (["--model", "DEFAULTS"], "default_runtime.py: has no model with a backbone of its own"),
        (["--model", "DEFAULTS", "--weights", "WEIGHTS"], "default_runtime.py: has no model with"),
        (["--device", "tpu"], "--device tpu"),
        (["--compare", "nowhere"], "--compare nowhere: there is no training's log"),
        (["--resume"], "--resume: there is no fine-tuning in"),
    ],
)
def test_mistakes_are_one_sentence(
    tool, example, weights, root, tmp_path, capsys, arguments, sentence
):
    files = dict(WEIGHTS=weights, DEFAULTS=root / "configs/_base_/default_runtime.py")
    arguments = [files.get(argument, argument) for argument in arguments]
    assert tool("finetune", example, "--work-dir", tmp_path, *arguments, "--dry-run") == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error
    assert not list(tmp_path.rglob("*.py"))


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("faster-rcnn", "FasterRCNN with a VanillaNet"),
        ("configs/retinanet_resnet50_coco.py", "RetinaNet with a ResNet"),
    ],
)
def test_another_detector_than_the_weights(
    tool, example, weights, root, tmp_path, capsys, model, kind
):
    given = root / model if model.endswith(".py") else model
    asked = ("--weights", weights, "--model", given, "--work-dir", tmp_path)
    assert tool("finetune", example, *asked) == 2
    error = capsys.readouterr().err
    assert f"--model {given}: is a {kind}, but --weights {weights} are of a " in error
    assert "RetinaNet with a VanillaNet, which is what would be trained; leave" in error


def test_what_a_model_beside_weights_gives_is_said(tool, example, weights, root, tmp_path, capsys):
    model = root / "configs/retinanet_vanillanet11_coco.py"
    asked = ("--weights", weights, "--model", model, "--work-dir", tmp_path, "--dry-run")
    assert tool("finetune", example, *asked) == 0
    assert f"The network is that of {weights}; --model gives how" in capsys.readouterr().out


def test_annotations_of_ones_own_are_not_replaced(tool, tmp_path, capsys):
    data = tmp_path / "data"
    write_example(data, "coco", {"train": 4, "val": 2})
    before = {path: path.read_bytes() for path in data.rglob("*.json")}
    assert tool("finetune", data, "--work-dir", data, "--dry-run") == 2
    assert "holds annotations already, which would be replaced" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in data.rglob("*.json")} == before


@pytest.fixture
def renamed(tmp_path):
    """Function that makes data whose class `odd` has other names in training and validation."""
    data = tmp_path / "data"
    write_example(data, "voc", {"train": 4, "val": 2})
    validation = (data / "ImageSets/Main/val.txt").read_text().split()

    def make(training_name, validation_name):
        for path in data.rglob("*.xml"):
            name = validation_name if path.stem in validation else training_name
            path.write_text(path.read_text().replace("<name>odd<", f"<name>{name}<"))
        return data

    return make


@pytest.mark.parametrize(("ours", "theirs"), [("odd", "Odd"), ("traffic light", "Traffic-Light")])
def test_two_spellings_of_a_class(tool, renamed, weights, tmp_path, capsys, ours, theirs):
    asked = ("--weights", weights, "--work-dir", tmp_path / "w")
    assert tool("finetune", renamed(ours, theirs), *asked) == 2
    error = capsys.readouterr().err
    assert f"class '{theirs}' is in validation pictures alone, and '{ours}' in training" in error


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("C++", "C"), ("C", "C#"), ("A+", "A-"), ("A", "A-"), ("1.5", "15"), ("+", "-"), ("1", "-1")],
)
def test_names_that_differ_in_a_sign_are_two_classes(
    tool, renamed, weights, tmp_path, capsys, ours, theirs
):
    asked = ("--weights", weights, "--work-dir", tmp_path / "w", "--dry-run")
    assert tool("finetune", renamed(ours, theirs), *asked) == 0
    assert f"warning: no training picture has {theirs}, which" in capsys.readouterr().out


def test_a_class_name_that_mmengine_would_replace(tool, weights, tmp_path, capsys):
    data = tmp_path / "data"
    write_example(data, "coco", {"train": 4, "val": 2})
    for path in data.rglob("*.json"):
        path.write_text(path.read_text().replace('"odd"', '"{{$HOME:odd}}"'))
    assert tool("finetune", data, "--weights", weights, "--work-dir", tmp_path / "w") == 2
    assert "has double braces, which a config's text can't hold" in capsys.readouterr().err


def test_masks_need_outlines(tool, tmp_path, capsys):
    data = tmp_path / "data"
    write_example(data, "voc", {"train": 4, "val": 2})
    assert tool("finetune", data, "--model", "mask-rcnn", "--work-dir", tmp_path / "w") == 2
    assert "have no outline, which masks are learned from" in capsys.readouterr().err
