"""Outlines that contradict the box or the image are reported, used or not."""

import numpy as np
import pytest
from pycocotools import mask

LOAD = dict(type="LoadAnnotations", with_bbox=True, with_mask=True)


def rectangle(box, factor=1.0, dx=0.0):
    x, y, w, h = (factor * value for value in box)
    return [[x + dx, y, x + w + dx, y, x + w + dx, y + h, x + dx, y + h]]


@pytest.fixture(params=["boxes", "masks"])
def outlined(request, small):
    """The dataset with outlines, which are loaded or not."""
    for content in small.contents.values():
        for annotation in content["annotations"]:
            annotation["segmentation"] = rectangle(annotation["bbox"])
    if request.param == "masks":
        small.dataset("train").pipeline.append(LOAD)
    assert small.check() == []
    return small


def level(small):
    return "error" if LOAD in small.dataset("train").pipeline else "warning"


@pytest.mark.parametrize("factor", [2, 0.5, 1 / 40])
def test_outlines_of_another_scale_than_the_boxes(outlined, factor):
    for annotation in outlined["train"]["annotations"]:
        annotation["segmentation"] = rectangle(annotation["bbox"], factor)
    message = outlined.the_one(level(outlined), "outline-box")
    assert outlined.count == 4
    assert "annotation 113 of image 11: its segmentation spans [" in message
    assert "], but its box is [7.5, 3, 10, 8] (and 3 more like it); " in message


def test_one_stray_outline_of_many_is_a_warning(outlined):
    first = outlined["train"]["annotations"][0]
    with_many(outlined["train"], rectangle(first["bbox"], dx=8))
    outlined.the_one("warning", "outline-box")


def test_a_visible_part_is_smaller_than_its_box(outlined):
    """Boxes may enclose the hidden part of an object, too."""
    first = outlined["train"]["annotations"][0]
    first["segmentation"] = rectangle([8, 4, 2, 2])
    assert outlined.check() == []


def test_a_box_of_rounded_coordinates_passes(outlined):
    annotation = outlined["train"]["annotations"][0]
    annotation.update(bbox=[3, 3, 2, 2], segmentation=[[3.4, 3.4, 5.6, 3.4, 5.6, 5.6]])
    assert outlined.check() == []


@pytest.mark.parametrize("shape", [(15, 20), (40, 30), (31, 40)])
@pytest.mark.parametrize("packed", [True, False])
def test_masks_of_another_size_than_the_image(outlined, shape, packed):
    pixels = np.zeros(shape, np.uint8, order="F")
    pixels[3:11, 7:17] = 1
    rle = mask.encode(pixels)
    rle["counts"] = rle["counts"].decode()
    if not packed:
        flat = pixels.ravel(order="F")
        edges = np.flatnonzero(np.diff(flat)) + 1
        rle["counts"] = np.diff([0, *edges, flat.size]).tolist()
    outlined["train"]["annotations"][2]["segmentation"] = rle
    message = outlined.the_one(level(outlined), "mask-size")
    assert f"annotation 123 of image 12: its mask has the size {list(shape)}, but" in message
    assert "but the image [30, 40]" in message
    assert ("width and height swapped" in message) == (shape == (40, 30))


def test_masks_of_the_image_s_size_pass(outlined):
    pixels = np.zeros((30, 40), np.uint8, order="F")
    pixels[3:11, 7:17] = 1
    rle = mask.encode(pixels)
    rle["counts"] = rle["counts"].decode()
    outlined["train"]["annotations"][0]["segmentation"] = rle
    assert outlined.check() == []


@pytest.mark.parametrize(
    ("segmentation", "said"),
    [
        ([[1, 2, 3, 4]], "no polygon of at least three points"),
        ([[1, 2, 3, 4, 5, 6, 7]], "odd number of coordinates"),
        ([8, 3, 16, 3, 16, 9], "is a list of numbers, expected a list of polygons"),
        ([[8, 3, 16, "3", 16, None]], "None is not a finite number"),
        (dict(size=[30, 40]), "lacks counts or size"),
        (dict(size=[30, 40], counts=[5, 7]), "counts add up to 12, expected 30 x 40"),
        (dict(size=[30, 40], counts=[-5, 1205]), "aren't COCO's RLE"),
        ("polygon", "is a str, expected polygons"),
    ],
)
def test_outlines_that_are_none(outlined, segmentation, said):
    outlined["train"]["annotations"][0]["segmentation"] = segmentation
    message = outlined.the_one(level(outlined), "outline-invalid")
    assert f"annotation 113 of image 11: its segmentation {said}" in message or said in message


VALID = [8, 3, 16, 3, 16, 9]


def with_many(split, segmentation):
    """Add 199 sound objects to a split, and give the first one this segmentation."""
    first = split["annotations"][0]
    for i in range(1, 200):
        box = [i / 10, 1, 5, 5]
        other = dict(first, id=1000 + i, bbox=box, segmentation=rectangle(box))
        split["annotations"].append(other)
    first["segmentation"] = segmentation


@pytest.mark.parametrize(
    ("segmentation", "is_dropped"),
    [
        ([[10, 10, 70, 70]], True),
        ([VALID, [1, 2, 3, 4, 5, 6, 7]], True),
        ([[1, 2]], True),
        (VALID, False),
        ([VALID, [1, 2, 3, 4, 5, None]], False),
    ],
)
def test_one_polygon_of_many_that_mmdetection_drops_is_a_warning(
    outlined, segmentation, is_dropped
):
    with_many(outlined["train"], segmentation)
    message = outlined.the_one("warning" if is_dropped else level(outlined), "outline-invalid")
    assert ("MMDetection silently drops such polygons" in message) == is_dropped


@pytest.mark.parametrize(
    ("segmentation", "severity"),
    [
        ([[10, 10, 70, 70]], "error"),
        ([[1, 2], VALID], "error"),
        ([VALID, [1, 2, 3, 4, 5, 6, 7]], "warning"),
        ([VALID, [1, 2, 3, 4]], None),
    ],
)
def test_polygons_that_the_evaluation_takes_for_boxes_are_errors(outlined, segmentation, severity):
    outlined.cfg.val_evaluator.metric = ["bbox", "segm"]
    with_many(outlined["val"], segmentation)
    found = {finding.code: finding.level for finding in outlined.check()}
    assert found.get("outline-invalid") == severity


@pytest.mark.parametrize("size", [dict(width=None), dict(height=0), dict(width="40")])
def test_images_without_a_size_get_no_second_finding(outlined, size):
    pixels = np.zeros((30, 40), np.uint8, order="F")
    pixels[3:11, 7:17] = 1
    rle = mask.encode(pixels)
    rle["counts"] = rle["counts"].decode()
    outlined["train"]["annotations"][0]["segmentation"] = rle
    outlined["train"]["images"][0].update(size)
    codes = {finding.code for finding in outlined.check()}
    assert codes
    assert "mask-size" not in codes
