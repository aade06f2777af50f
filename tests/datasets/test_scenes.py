"""Scenes: their scans and photographs, and boxes and polygons that fit."""

from itertools import combinations

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from sklearn.datasets import load_digits, load_sample_images

from vanillanet_det.datasets.scenes import (
    SCAN_SIDES,
    SceneAssets,
    draw_scene,
    load_assets,
    to_polygons,
)


@pytest.fixture(scope="module")
def sources():
    return load_assets(np.random.RandomState(0))


def test_every_scan_goes_to_one_split_only(sources):
    def counts(scans):
        return np.unique(scans.reshape(len(scans), -1), axis=0, return_counts=True)

    both = np.concatenate([sources["train"].scans, sources["val"].scans])
    # As many of each scan as there are: none twice, none left out, also if writers agree.
    for found, expected in zip(counts(both), counts(load_digits().images / np.float32(16))):
        np.testing.assert_array_equal(found, expected)
    assert [len(sources[split].labels) for split in ("train", "val")] == [1498, 299]


def test_labels_stay_with_their_scans(sources):
    known = load_digits()
    by_scan = {
        (scan / np.float32(16)).astype(np.float32).tobytes(): label
        for scan, label in zip(known.images, known.target)
    }
    for source in sources.values():
        assert [by_scan[scan.tobytes()] for scan in source.scans] == source.labels.tolist()


def test_no_column_of_a_photo_is_in_both_splits(sources):
    for index, photo in enumerate(load_sample_images().images):
        train, val = (sources[split].photos[index] for split in ("train", "val"))
        np.testing.assert_array_equal(train, photo[:, : train.shape[1]])
        np.testing.assert_array_equal(val, photo[:, -val.shape[1] :])
        assert train.shape[1] + val.shape[1] < photo.shape[1]


def test_scans_are_drawn_28_to_72_pixels_large(sources):
    # Of a scan that is ink all over, the box shows the side.
    full = SceneAssets(np.ones((1, 8, 8), np.float32), np.array([3]), sources["train"].photos)
    random = np.random.RandomState(0)
    boxes = [i.box for _ in range(150) for i in draw_scene(full, 160, random)[1]]
    sides = {max(box[2:]) for box in boxes}
    assert SCAN_SIDES == (28, 72)
    assert (min(sides), max(sides)) == SCAN_SIDES


def test_boxes_and_polygons_fit_the_masks(sources):
    random = np.random.RandomState(1)
    for _ in range(20):
        image, instances = draw_scene(sources["train"], 160, random)
        assert image.dtype == np.uint8
        assert len(instances) >= 1
        for instance in instances:
            x, y, width, height = instance.box
            assert x >= 0
            assert y >= 0
            expected = np.zeros((160, 160), bool)
            expected[y : y + height, x : x + width] = instance.mask
            for axis in (0, 1):  # tight: ink in the outermost rows and columns
                assert instance.mask.any(axis=axis)[[0, -1]].all()
            rle = coco_mask.merge(coco_mask.frPyObjects(to_polygons(instance), 160, 160))
            np.testing.assert_array_equal(coco_mask.decode(rle).astype(bool), expected)


def test_two_digits_hardly_overlap(sources):
    def area_of(x, y, width, height):
        area = np.zeros((160, 160), bool)
        area[y : y + height, x : x + width] = True
        return area

    random = np.random.RandomState(3)
    for _ in range(20):
        instances = draw_scene(sources["train"], 160, random)[1]
        for a, b in combinations([area_of(*i.box) for i in instances], 2):
            assert (a & b).sum() <= 0.05 * min(a.sum(), b.sum())


def test_a_digit_stands_out_from_what_is_behind(sources):
    grey = SceneAssets(*(getattr(sources["val"], key) for key in ("scans", "labels")), (GREY,))
    random = np.random.RandomState(2)
    for _ in range(10):
        image, instances = draw_scene(grey, 160, random)
        background = np.median(image)
        for instance in instances:
            x, y, width, height = instance.box
            ink = image[y : y + height, x : x + width].astype(float).mean(-1)
            assert np.abs(ink - background).max() > 50


GREY = np.full((427, 430, 3), 128, np.uint8)
