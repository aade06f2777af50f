"""One sentence for each mistake in a fine-tuning command."""

import pytest

from vanillanet_det.datasets.examples import write_example


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--epochs", "0"], "--epochs 0: expected a positive integer"),
        (["--batch-size", "0"], "--batch-size 0: expected a positive integer"),
        (["--lr", "nan"], "--lr nan: expected a number above 0"),
        (["--input-size", "12"], "--input-size 12: expected a side"),
        (["--augment", "none", "flip"], "--augment none: can't be combined"),
        (["--weights", "no.pth"], "no.pth"),
        (["--model", "yolo"], "config yolo: there is no such file"),
        (["--backbone", "vanillanet4"], "--backbone vanillanet4: expected one of vanillanet5, "),
        (["--arch", "11"], "--arch was renamed; use --backbone"),
        (["--image-size", "320"], "--image-size was renamed; use --input-size"),
        (["--freeze", "-5"], "--freeze -5: expected the last stage to freeze, from 0"),
        (
            ["--freeze", "0"],
            "--freeze 0: requires --weights, since frozen random layers never learn",
        ),
        (["--freeze", "99", "--weights", "WEIGHTS"], "frozen_stages 99"),
        (["--model", "DEFAULTS"], "default_runtime.py: has no model with a backbone config"),
        (["--model", "DEFAULTS", "--weights", "WEIGHTS"], "default_runtime.py: has no model with"),
        (["--device", "tpu"], "--device tpu"),
        (["--compare", "nowhere"], "--compare nowhere: has no training log"),
        (["--resume"], "--resume: no fine-tuning run in"),
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
    name = root / model if model.endswith(".py") else model
    options = ("--weights", weights, "--model", name, "--work-dir", tmp_path)
    assert tool("finetune", example, *options) == 2
    error = capsys.readouterr().err
    assert f"--model {name}: is a {kind}, but --weights {weights} contains a " in error
    assert "RetinaNet with a VanillaNet, which would be trained instead; omit" in error


def test_the_role_of_a_model_beside_weights_is_reported(
    tool, example, weights, root, tmp_path, capsys
):
    model = root / "configs/retinanet_vanillanet11_coco.py"
    options = ("--weights", weights, "--model", model, "--work-dir", tmp_path, "--dry-run")
    assert tool("finetune", example, *options) == 0
    assert f"The network is loaded from {weights}; --model only sets how" in capsys.readouterr().out


def test_existing_annotations_are_not_overwritten(tool, tmp_path, capsys):
    data = tmp_path / "data"
    write_example(data, "coco", {"train": 4, "val": 2})
    before = {path: path.read_bytes() for path in data.rglob("*.json")}
    assert tool("finetune", data, "--work-dir", data, "--dry-run") == 2
    assert "already contains annotations, which would be overwritten" in capsys.readouterr().err
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
    options = ("--weights", weights, "--work-dir", tmp_path / "w")
    assert tool("finetune", renamed(ours, theirs), *options) == 2
    error = capsys.readouterr().err
    assert f"class '{theirs}' occurs in validation images only, and '{ours}' in training" in error


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("C++", "C"), ("C", "C#"), ("A+", "A-"), ("A", "A-"), ("1.5", "15"), ("+", "-"), ("1", "-1")],
)
def test_names_that_differ_in_a_sign_are_two_classes(
    tool, renamed, weights, tmp_path, capsys, ours, theirs
):
    options = ("--weights", weights, "--work-dir", tmp_path / "w", "--dry-run")
    assert tool("finetune", renamed(ours, theirs), *options) == 0
    assert f"has {theirs}, but no training image does, so" in capsys.readouterr().out


def test_a_class_name_that_mmengine_would_replace(tool, weights, tmp_path, capsys):
    data = tmp_path / "data"
    write_example(data, "coco", {"train": 4, "val": 2})
    for path in data.rglob("*.json"):
        path.write_text(path.read_text().replace('"odd"', '"{{$HOME:odd}}"'))
    assert tool("finetune", data, "--weights", weights, "--work-dir", tmp_path / "w") == 2
    assert "has double braces, which a config can't contain" in capsys.readouterr().err


def test_masks_need_outlines(tool, tmp_path, capsys):
    data = tmp_path / "data"
    write_example(data, "voc", {"train": 4, "val": 2})
    assert tool("finetune", data, "--model", "mask-rcnn", "--work-dir", tmp_path / "w") == 2
    assert "have no segmentation to learn masks from" in capsys.readouterr().err
