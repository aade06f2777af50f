import numpy as np
import pytest
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import bbox_overlaps

from vanillanet_det.finetune.anchors import (
    anchor_sizes,
    box_sizes,
    fit_anchors,
    histogram,
    measure_fit,
)

RETINANET = dict(
    type="AnchorGenerator",
    octave_base_scale=4,
    scales_per_octave=3,
    ratios=[0.5, 1.0, 2.0],
    strides=[8, 16, 32, 64, 128],
)
RPN = dict(type="AnchorGenerator", scales=[8], ratios=[0.5, 1.0, 2.0], strides=[4, 8, 16, 32, 64])


def test_the_rating_is_mmdetections_overlap_of_centred_boxes():
    import torch

    boxes = np.random.RandomState(0).uniform(10, 400, (50, 2))
    anchors = torch.cat(TASK_UTILS.build(RETINANET).base_anchors)
    anchors = anchors - (anchors[:, :2] + anchors[:, 2:]).repeat(1, 2) / 2
    half = torch.as_tensor(boxes / 2).float()
    best = bbox_overlaps(torch.cat([-half, half], dim=1), anchors).max(dim=1).values.numpy()
    found = measure_fit(RETINANET, boxes)
    assert found.share == pytest.approx((best >= 0.5).mean())
    assert found.mean_iou == pytest.approx(best.mean(), abs=1e-5)


@pytest.mark.parametrize("generator", [RETINANET, RPN])
def test_anchors_are_fitted_to_small_and_high_boxes(generator):
    random = np.random.RandomState(0)
    widths = random.uniform(6, 14, 500)
    boxes = np.stack([widths, widths * random.uniform(2.5, 3.5, 500)], axis=1)
    before = measure_fit(generator, boxes)
    better = fit_anchors(generator, boxes)
    assert before.share < 0.6
    assert better.share > 0.95
    # The head keeps its shape: as many anchors as before, at the same strides.
    assert len(anchor_sizes(better.generator)) == len(anchor_sizes(generator))
    assert better.generator["strides"] == generator["strides"]


def test_anchors_that_fit_stay_as_they_are():
    random = np.random.RandomState(0)
    sides = 2 ** random.uniform(5, 8, 500)
    boxes = np.stack([sides, sides * random.choice([0.5, 1.0, 2.0], 500)], axis=1)
    assert measure_fit(RETINANET, boxes).share > 0.95
    assert fit_anchors(RETINANET, boxes) is None


def test_boxes_are_measured_as_the_detector_sees_them():
    content = dict(
        images=[
            dict(id=1, width=1000, height=500),
            dict(id=2, width=300, height=600),
        ],
        annotations=[
            dict(image_id=1, bbox=[0, 0, 100, 50]),
            dict(image_id=2, bbox=[0, 0, 30, 60]),
            dict(image_id=2, bbox=[0, 0, 300, 600], iscrowd=1),
        ],
    )
    # 1000 x 500 into 640 x 480: by 0.64, its long side; 300 x 600: by 640 / 600.
    expected = [[64, 32], [32, 64]]
    assert box_sizes(content, (640, 480)) == pytest.approx(np.array(expected))


def test_the_histogram_shows_both_where_they_are():
    boxes = np.full((10, 2), 12.0)
    lines = histogram(boxes, np.array([[100.0, 100.0], [200.0, 200.0]])).splitlines()
    small = next(line for line in lines if line.startswith("11 to 16"))
    large = next(line for line in lines if line.startswith("91 to 128"))
    assert "100 %" in small
    assert "50 %" in large
    assert small.index("█") < large.index("█")
