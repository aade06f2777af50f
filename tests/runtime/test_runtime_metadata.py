"""Metadata is written, read and validated."""

import json

import pytest

from vanillanet_det import UserError
from vanillanet_det.runtime.metadata import Metadata, Resize
from vanillanet_det.runtime.tiles import Tiles


def test_round_trip():
    written = Metadata(
        kind="detector",
        model="mask_rcnn",
        precision="int8",
        classes=("Größe", "图"),
        score_threshold=0.05,
        nms_inside=False,
        iou_threshold=0.6,
        max_detections=100,
        mask_threshold=0.5,
        class_scores=(0.25, 0.6),
        tiles=Tiles((640, 512), 0.3),
        resize=Resize((1333, 800), keep_ratio=False),
        input_size=(480, 640),
        batch_size=2,
        padding=(103.5, 116, 124),
        opset=20,
        versions={"torch": "2.14.1"},
    )
    assert Metadata.from_json(written.to_json()) == written
    assert json.loads(written.to_json())["resize"] == {"scale": [1333, 800], "keep_ratio": False}
    backbone = Metadata("backbone", "a", "bf16")
    assert Metadata.from_json(backbone.to_json()) == backbone


def test_the_documented_format_is_read(metadata):
    found = Metadata.from_json(json.dumps({**metadata(), "of a later version": 1}))
    assert found.classes == ("cat", "dog", "größer")
    assert found.resize is found.input_size is found.batch_size is found.mask_threshold is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(kind="segmenter"), r"kind 'segmenter'; expected detector or backbone"),
        (dict(precision="fp8"), r"precision 'fp8'; expected fp32 or bf16 or fp16 or int8"),
        (dict(precision=["fp32"]), r"precision \['fp32'\]"),
        (dict(model=None), r"model None; expected a name"),
        (dict(classes=None), r"classes None; expected a list"),
        (dict(classes="cat"), r"classes 'cat'"),
        (dict(classes=[1]), r"classes \[1\]"),
        (dict(score_threshold=2), r"score_threshold 2; expected a number from 0 to 1"),
        (dict(score_threshold=float("nan")), r"score_threshold nan"),
        (dict(nms_inside=1), r"nms_inside 1; expected true or false"),
        (dict(iou_threshold=None), r"iou_threshold None"),
        (dict(max_detections=0), r"max_detections 0; expected a positive number"),
        (dict(mask_threshold="0.5"), r"mask_threshold '0\.5'"),
        (dict(resize=[1333, 800]), r"resize \[1333, 800\]; expected scale"),
        (dict(resize=dict(scale=[0, 1], keep_ratio=True)), r"resize"),
        (dict(resize=dict(scale=[1, 1])), r"resize"),
        (dict(class_scores=[0.1, 2, 0.3]), r"class_scores \[0\.1, 2, 0\.3\]; expected a list"),
        (dict(class_scores=[0.1]), r"1 class_scores for 3 classes"),
        (dict(tiles=[640, 640]), r"tiles \[640, 640\]; expected size"),
        (dict(tiles=dict(size=[640, 640], overlap=1)), r"tiles .*; expected size"),
        (dict(tiles=dict(size=[8, 8], overlap=0.2)), r"tiles of 8 x 8 .*: expected at least 32"),
        (dict(input_size=[1.5, 2]), r"input_size \[1\.5, 2\]; expected height and width"),
        (dict(batch_size=True), r"batch_size True"),
        (dict(padding=[0, 0]), r"padding \[0, 0\]; expected three numbers"),
        (dict(padding=[0, 0, 256]), r"padding"),
        (dict(versions=[]), r"versions \[\]"),
        (dict(format_version=None), r"format_version None"),
        (dict(format_version=3), r"format_version is 3 but .*upgrade vanillanet_det"),
    ],
)
def test_invalid_values_are_named(changes, message, metadata):
    with pytest.raises(UserError, match=message):
        Metadata.from_json(json.dumps(metadata(**changes)))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000])
def test_text_that_is_not_an_object(text):
    with pytest.raises(
        UserError, match=r"its metadata is not (a|valid) JSON.*vanillanet-det export"
    ):
        Metadata.from_json(text)
