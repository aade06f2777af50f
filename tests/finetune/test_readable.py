"""--skip-missing trains without images whose header is sound, but whose pixels are not."""

import io

import numpy as np
import pytest
from PIL import Image

from vanillanet_det import UserError
from vanillanet_det.apis.finetune import finetune
from vanillanet_det.datasets.examples import write_example
from vanillanet_det.datasets.formats import read_dataset
from vanillanet_det.finetune.readable import drop_unreadable


def cut(path, format):
    """Replace an image by one of the same size that ends early."""
    with Image.open(path) as image:
        size = image.size
    noise = np.random.RandomState(0).randint(0, 255, (*size[::-1], 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, format)
    path.write_bytes(file.getvalue()[: len(file.getvalue()) // 2])


@pytest.fixture(params=["coco", "yolo"])
def data(request, tmp_path):
    """A dataset with a broken image in each split."""
    folder = tmp_path / "data"
    write_example(folder, request.param, {"train": 6, "val": 3})
    source = read_dataset(folder)
    for content, format in ((source.train, "JPEG"), (source.val, "PNG")):
        cut(source.root / content["images"][1]["file_name"], format)
    return folder


def test_they_are_dropped_with_their_objects_and_counted(data):
    before = read_dataset(data)
    after, remarks = drop_unreadable(before)
    lost = 0
    for content, left in ((before.train, after.train), (before.val, after.val)):
        broken = content["images"][1]
        assert left["images"] == [each for each in content["images"] if each is not broken]
        kept = [each for each in content["annotations"] if each["image_id"] != broken["id"]]
        assert left["annotations"] == kept
        lost += len(content["annotations"]) - len(kept)
    assert lost
    assert after.skipped == (before.skipped.images + 2, before.skipped.objects + lost)
    (remark,) = remarks
    assert remark.startswith("Images that can't be read, skipped (")
    assert remark.endswith("): 2.")
    assert after.remarks[-1] == remark


def test_the_run_starts_without_them_only_if_asked(data, tmp_path, capsys):
    options = dict(model="retinanet_vanillanet5_digits", dry_run=True)
    with pytest.raises(UserError, match="can't be read"):
        finetune(str(data), work_dir=str(tmp_path / "a"), **options)
    finetune(str(data), work_dir=str(tmp_path / "b"), skip_missing=True, **options)
    output = capsys.readouterr().out
    assert "Images that can't be read, skipped (" in output
    assert "Training: 5 images" in output
    assert "Validation: 2 images" in output


def test_nothing_left_is_one_clear_error(data):
    source = read_dataset(data)
    for image in source.val["images"]:
        cut(source.root / image["file_name"], "JPEG")
    with pytest.raises(UserError, match=r"3 of 3 validation images can't be read"):
        drop_unreadable(source)
