"""Label Studio's shapes: percentages, rotation, brushes, and what can't be an object."""

import math

import numpy as np
import pytest
from data_folders import found, remark
from label_studio_tasks import BOX, RECTANGLE, H, W, one, result
from pycocotools import mask as coco_mask

from vanillanet_det import UserError


def test_rotated_rectangles_turn_around_their_corner(tmp_path):
    # In pixels 20 x 10 at (30, 10), turned by 90 degrees clockwise: to the left of the corner.
    quarter = dict(x=50, y=25, width=100 * 20 / W, height=100 * 10 / H, rotation=90)
    source = one(tmp_path, result(quarter), result({**quarter, "rotation": 30}))
    first, second = source.train["annotations"]
    assert first["bbox"] == pytest.approx([20, 10, 10, 20])
    cos, sin = math.cos(math.pi / 6), math.sin(math.pi / 6)
    expected = [30 - 10 * sin, 10, 20 * cos + 10 * sin, 20 * sin + 10 * cos]
    assert second["bbox"] == pytest.approx(expected, abs=1e-3)
    assert remark(source, "Rotated boxes").endswith("(images/a.jpg): 2.")


def test_polygons_and_ellipses(tmp_path):
    triangle = dict(points=[[10, 10], [50, 10], [50, 60]], closed=True)
    ellipse = dict(x=50, y=50, radiusX=20, radiusY=10, rotation=0)
    source = one(
        tmp_path,
        result(triangle, "polygonlabels"),
        result(ellipse, "ellipselabels"),
        result({**ellipse, "rotation": 90}, "ellipselabels"),
    )
    polygon, upright, turned = source.train["annotations"]
    assert polygon["segmentation"] == [[6, 4, 30, 4, 30, 24]]
    assert upright["bbox"] == [18, 16, 24, 8]
    assert upright["area"] == pytest.approx(math.pi * 12 * 4, rel=0.01)
    assert turned["bbox"] == [26, 8, 8, 24]


def encode(values, sizes=(3, 4, 8, 16)):
    """Encode bytes as thi.ng/umbrella's rle-pack: runs of equal values, and single values."""
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in sizes)
    start = 0
    while start < len(values):
        end = start
        while end < len(values) and values[end] == values[start] and end - start < 1 << 16:
            end += 1
        length = end - start - 1
        index = next(i for i, size in enumerate(sizes) if length < 1 << size)
        bits += f"{int(length > 0)}{index:02b}{length:0{sizes[index]}b}{values[start]:08b}"
        start = end
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def brush(mask):
    pixels = np.zeros((*mask.shape, 4), np.uint8)
    pixels[..., 0] = 9  # only alpha counts
    pixels[mask] = (20, 30, 40, 255)
    return dict(format="rle", rle=encode(pixels.ravel().tolist()))


def test_brush_masks(tmp_path):
    mask = np.zeros((H, W), bool)
    mask[5:15, 10:40] = mask[20, 3] = True
    mask[7, 12::2] = False
    empty = np.zeros_like(mask)
    source = one(
        tmp_path, result(brush(mask), "brushlabels"), result(brush(empty), "brushlabels"), result()
    )
    drawn = source.train["annotations"][0]
    assert drawn["bbox"] == [3, 5, 37, 16]
    assert drawn["area"] == mask.sum()
    assert (coco_mask.decode(drawn["segmentation"]) == mask).all()
    assert remark(source, "Brush masks without a pixel").endswith(": 1.")
    assert source.skipped == (0, 1)


@pytest.mark.parametrize(
    ("rle", "message"),
    [
        ("x", r"its rle isn't a list of bytes"),
        ([1, 2, 300], r"bytes must be in range"),
        ([0, 0, 37, 128], r"its rle ends too early|another size"),
        (encode([0] * 4 * W * H)[:-2], r"its rle ends too early"),
        (encode([0] * 400), r"its rle doesn't match its image of 2,400 pixels"),
        ([255] * 40, r"its rle doesn't match"),
    ],
)
def test_damaged_brush_masks(tmp_path, rle, message):
    with pytest.raises(UserError, match=rf"task 7: shape 1: ({message})"):
        one(tmp_path, result(dict(format="rle", rle=rle), "brushlabels"))


def test_what_is_no_annotated_area_is_counted(tmp_path):
    source = one(
        tmp_path,
        result(),
        result(dict(x=1, y=1, width=0.5), "keypointlabels"),
        result(dict(points=[[1, 1], [2, 2]]), "polygonlabels"),
        result(dict(vertices=[dict(x=1, y=1)]), "vectorlabels"),
        result(label=None),
        dict(type="choices", value=dict(choices=["sharp"])),
        dict(type="relation", from_id="a", to_id="b"),
    )
    assert remark(source, "Shapes without an area").endswith(": 2.")
    assert remark(source, "Shapes of other kinds").endswith(": 1.")
    assert remark(source, "Shapes without a label").endswith(": 1.")
    assert remark(source, "Results that aren't shapes").endswith(": 2.")
    assert (len(source.train["annotations"]), source.skipped) == (1, (0, 4))


def test_labels_apart_from_their_shapes(tmp_path):
    source = one(
        tmp_path,
        dict(id="r1", type="rectangle", value=RECTANGLE),
        dict(id="r1", type="labels", value={**RECTANGLE, "labels": ["dog"]}),
        dict(id="r1", type="choices", value={**RECTANGLE, "choices": ["sharp"]}),
    )
    assert found(source) == [("images/a.jpg", "dog", BOX)]
    assert source.skipped == (0, 0)


def test_several_labels(tmp_path):
    value = {**RECTANGLE, "rectanglelabels": ["dog", "cat"]}
    source = one(tmp_path, result(value, label=None))
    assert found(source) == [("images/a.jpg", "dog", BOX)]
    assert remark(source, "Shapes with several labels").endswith(": 1.")


def test_images_that_were_resized_after_annotating(tmp_path):
    source = one(tmp_path, result(size=(2 * W, 2 * H)))
    assert found(source) == [("images/a.jpg", "cat", BOX)]
    with pytest.raises(UserError, match=r"task 7: shape 1: was drawn on an image of 40 x 60 pixel"):
        one(tmp_path, result(size=(H, W)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (result(dict(x="left", y=1, width=1, height=1)), r"'left' is not a finite number"),
        (result(dict(points=[1, 2]), "polygonlabels"), r"its points aren't a list of pairs"),
        (result({**RECTANGLE, "rectanglelabels": "cat"}, label=None), r"its labels are 'cat'"),
        (result(label=" "), r"its label is ' '"),
        ({**result(), "image_rotation": 90}, r"rotated by 90 degrees in Label Studio"),
    ],
)
def test_shapes_that_are_wrong(tmp_path, wrong, message):
    with pytest.raises(UserError, match=rf"task 7: shape 2: .*{message}"):
        one(tmp_path, result(), wrong)
