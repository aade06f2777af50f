"""Images are zoomed at random, but not enlarged beyond the size of a batch."""

import numpy as np
import pytest
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks

from vanillanet_det.datasets import RandomZoom

SIZES = [(96, 64), (64, 96), (200, 40), (33, 33), (640, 480)]  # width, height
BOX = [10, 12, 25, 30]


def image(width, height):
    """A rectangle of one colour on black, with its box and mask."""
    left, top, right, bottom = BOX
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[top:bottom, left:right] = 255
    return dict(
        img=pixels,
        img_shape=(height, width),
        gt_bboxes=HorizontalBoxes(np.float32([BOX])),
        gt_bboxes_labels=np.array([3]),
        gt_ignore_flags=np.array([False]),
        gt_masks=BitmapMasks((pixels[None, ..., 0] > 0).astype(np.uint8), height, width),
    )


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("zoom", [(0.5, 2.0), (1.0, 1.0), (1.5, 1.5), (0.6, 0.6)])
def test_objects_stay_on_their_pixels(width, height, zoom):
    np.random.seed(0)  # noqa: NPY002
    transform = TRANSFORMS.build(dict(type="RandomZoom", scale=(96, 64), zoom=zoom))
    fit = min(96 / max(width, height), 64 / min(width, height))
    limit = round(height * fit), round(width * fit)
    shapes, seen = set(), 0
    for _ in range(20):
        found = transform(image(width, height))
        shape = found["img"].shape[:2]
        assert found["img_shape"] == shape
        assert all(side <= most + 1 for side, most in zip(shape, limit))
        shapes.add(shape)
        assert len(found["gt_bboxes"]) == len(found["gt_bboxes_labels"]) == len(found["gt_masks"])
        if len(found["gt_bboxes"]):
            seen += 1
            left, top, right, bottom = found["gt_bboxes"].tensor[0].tolist()
            rows, columns = np.nonzero(found["img"][..., 0] > 100)
            if len(rows):
                edges = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
                np.testing.assert_allclose(edges, (left, top, right, bottom), atol=1.1)
            mask = found["gt_masks"].masks[0]
            assert mask.shape == shape
    assert seen > 0
    assert len(shapes) == 1 if zoom[0] == zoom[1] else len(shapes) > 3
    if zoom[0] >= 1:
        assert shapes == {limit}


def test_the_zoom_is_as_often_in_as_out():
    np.random.seed(0)  # noqa: NPY002
    zoom = RandomZoom((96, 64), (0.5, 2.0))
    factors = [zoom._factor() for _ in range(400)]
    assert min(factors) >= 0.5
    assert max(factors) <= 2
    assert 0.4 < np.mean(np.array(factors) > 1) < 0.6
