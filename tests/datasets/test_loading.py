"""Images that can't be read are named, or skipped."""

import json
import logging
import re

import cv2
import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from torch.utils.data import DataLoader

from vanillanet_det import UserError
from vanillanet_det.datasets import LoadReadableImage

PNG = cv2.imencode(".png", np.random.RandomState(0).randint(0, 256, (20, 30, 3), np.uint8))[1]
JPEG = cv2.imencode(".jpg", np.random.RandomState(0).randint(0, 256, (80, 90, 3), np.uint8))[1]
BAD = {
    "truncated.jpg": JPEG.tobytes()[: len(JPEG) // 2],
    "truncated.png": PNG.tobytes()[: len(PNG) // 2],
    "damaged.png": PNG.tobytes()[:8] + bytes(400),
    "empty.png": b"",
    "text.png": b"no image at all",
    "missing.png": None,
}


@pytest.fixture(params=BAD)
def bad(request, tmp_path):
    if BAD[request.param] is not None:
        (tmp_path / request.param).write_bytes(BAD[request.param])
    return str(tmp_path / request.param)


@pytest.fixture
def dataset(tmp_path, mmdet_scope):
    """Function that makes a dataset of one good image and an empty file, `0.png`."""
    (tmp_path / "0.png").touch()
    (tmp_path / "1.png").write_bytes(PNG.tobytes())
    images = [dict(id=i, file_name=f"{i}.png", height=20, width=30) for i in range(2)]
    box = dict(category_id=1, bbox=[1, 1, 9, 9], area=81, iscrowd=0)
    annotations = [dict(id=i + 1, image_id=i, **box) for i in range(2)]
    categories = [dict(id=1, name="cat")]
    (tmp_path / "ann.json").write_text(
        json.dumps(dict(images=images, annotations=annotations, categories=categories))
    )

    def make(**kwargs):
        return CocoDataset(
            data_root=str(tmp_path),
            ann_file="ann.json",
            metainfo=dict(classes=("cat",)),
            data_prefix=dict(img=""),
            pipeline=[dict(type="LoadReadableImage", **kwargs)],
        )

    return make


def test_a_good_image_is_loaded(tmp_path):
    (tmp_path / "a.png").write_bytes(PNG.tobytes())
    results = LoadReadableImage().transform({"img_path": str(tmp_path / "a.png")})
    np.testing.assert_array_equal(results["img"], cv2.imdecode(PNG, cv2.IMREAD_COLOR))
    assert results["img_shape"] == results["ori_shape"] == (20, 30)


@pytest.mark.parametrize("kwargs", [{}, dict(imdecode_backend="pillow"), dict(ignore_empty=True)])
def test_an_unreadable_image_is_named(bad, kwargs):
    with pytest.raises(UserError, match=rf"^image {re.escape(bad)}: can't be read .*skip"):
        LoadReadableImage(**kwargs).transform({"img_path": bad})


def test_the_reason_is_that_of_the_decoder(tmp_path):
    for name, reason in (
        ("truncated.jpg", r"image file is truncated \(\d+ bytes not processed\)"),
        ("truncated.png", "image file is truncated"),
        ("empty.png", "the file is empty"),
        ("text.png", "not an image format that OpenCV supports"),
        ("missing.png", "No such file"),
    ):
        if BAD[name] is not None:
            (tmp_path / name).write_bytes(BAD[name])
        with pytest.raises(UserError, match=rf"{name}: can't be read \(.*{reason}.*\); replace"):
            LoadReadableImage().transform({"img_path": str(tmp_path / name)})


def test_skip_warns_with_the_name(bad, log):
    assert LoadReadableImage(unreadable="skip").transform({"img_path": bad}) is None
    (record,) = log.records
    assert record.levelno == logging.WARNING
    assert f"image {bad}: can't be read" in record.message


def test_training_takes_another_image_for_a_skipped_one(dataset):
    assert dataset(unreadable="skip")[0]["img_id"] == 1


def test_the_name_comes_out_of_a_loader_process(dataset, tmp_path):
    loader = DataLoader(dataset(), num_workers=1, collate_fn=list)
    with pytest.raises(UserError, match=rf"image {tmp_path}/0\.png: can't be read"):
        next(iter(loader))


def test_an_unknown_choice_is_refused():
    with pytest.raises(UserError, match="unreadable is 'ignore', expected 'error' or 'skip'"):
        LoadReadableImage(unreadable="ignore")
