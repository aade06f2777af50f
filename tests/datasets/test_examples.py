"""The embedded scenes in four formats: the same dataset in each."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from vanillanet_det import UserError
from vanillanet_det.datasets.examples import FORMATS, main, write_example
from vanillanet_det.datasets.formats import read_dataset

SCENES = {"train": 24, "val": 6}  # of small_digits


@pytest.fixture(scope="module")
def sources(small_digits, tmp_path_factory):
    """What is read of each format."""
    folder = tmp_path_factory.mktemp("examples")
    return {
        format: read_dataset(write_example(folder / format, format, SCENES, small_digits))
        for format in FORMATS
    }


def flat(content):
    """Images by base name, and objects by image, class and box to 0.01 pixel."""
    names = {category["id"]: category["name"] for category in content["categories"]}
    files = {image["id"]: Path(image["file_name"]).name for image in content["images"]}
    images = sorted((files[i["id"]], i["width"], i["height"]) for i in content["images"])
    objects = sorted(
        (files[a["image_id"]], names[a["category_id"]], [round(v, 2) for v in a["bbox"]])
        for a in content["annotations"]
    )
    return images, objects


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_the_same_dataset(sources, format):
    source, coco = sources[format], sources["coco"]
    assert source.classes == ("even", "odd")
    assert len(source.remarks) == 1  # nothing left out
    for split, count in SCENES.items():
        content = getattr(source, split)
        assert flat(content) == flat(getattr(coco, split))
        assert len(content["images"]) == count
        for image in content["images"]:
            assert Image.open(source.root / image["file_name"]).size == (160, 160)


def test_boxes_are_those_of_the_embedded_scenes(sources, small_digits):
    made = json.loads((small_digits / "annotations/instances_val.json").read_text())
    boxes = [(a["bbox"], a["category_id"] - 1) for a in made["annotations"]]
    val = sources["coco"].val
    read = [(a["bbox"], a["category_id"]) for a in val["annotations"]]
    assert [box for box, _ in read] == [box for box, _ in boxes]
    assert [label for _, label in read] == [(3, 7)[digit % 2] for _, digit in boxes]


@pytest.mark.parametrize(
    ("format", "outlines"), [("yolo", True), ("labelme", True), ("voc", False)]
)
def test_outlines_are_kept_where_the_format_has_them(sources, format, outlines):
    annotations = sources[format].val["annotations"]
    assert all(("segmentation" in a) == outlines for a in annotations)
    if outlines:
        coco = sources["coco"].val["annotations"]
        # Outlines run through the outer pixels' middles, not around them.
        assert sum(a["area"] for a in annotations) == pytest.approx(
            sum(a["area"] for a in coco), rel=0.05
        )


def test_images_are_links(sources, small_digits):
    source = sources["voc"]
    image = source.root / source.val["images"][0]["file_name"]
    assert image.stat().st_ino == (small_digits / "val/000001.png").stat().st_ino


def test_images_are_copied_where_links_are_impossible(small_digits, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    write_example(tmp_path / "a", "coco", SCENES, small_digits)
    assert len(list((tmp_path / "a").rglob("*.png"))) == 30


def test_a_folder_that_holds_something_is_left_alone(small_digits, tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(
        UserError, match=r"already exists; remove the folder, or choose another one"
    ):
        write_example(tmp_path, "coco", SCENES, small_digits)
    with pytest.raises(UserError, match=r"format 'csv': expected one of coco, yolo"):
        write_example(tmp_path / "a", "csv")
    assert os.listdir(tmp_path) == ["mine.txt"]


def test_a_failure_leaves_nothing(small_digits, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(FORMATS, "coco", fail)
    with pytest.raises(UserError, match=r"a: can't be written \(No space left on device\)"):
        write_example(tmp_path / "a", "coco", SCENES, small_digits)
    assert os.listdir(tmp_path) == []


def test_command_line(tmp_path, capsys):
    main([str(tmp_path / "a"), "--format", "yolo", "--scenes", "3", "2"])
    assert "3 scenes for training and 2 for validation" in capsys.readouterr().out
    assert len(read_dataset(tmp_path / "a").val["images"]) == 2
    assert os.listdir(tmp_path) == ["a"]


def test_the_earlier_name_of_the_flag_is_answered_with_the_new_one(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main([str(tmp_path / "a"), "--form", "yolo"])
    assert caught.value.code == 2
    message = "error: --form has been renamed; use --format instead\n"
    assert capsys.readouterr().err == message


@pytest.mark.slow
def test_command_line_names_mistakes(tmp_path):
    (tmp_path / "mine.txt").touch()
    run = subprocess.run(
        [sys.executable, "-m", "vanillanet_det.datasets.examples", tmp_path, "--format", "voc"],
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.endswith("already exists; remove the folder, or choose another one\n")
    assert "Traceback" not in run.stderr
