"""NMS outside of the graph equals mmcv's."""

import numpy as np
import pytest
import torch
from mmcv.ops import batched_nms

from vanillanet_det.runtime.nms import suppress


def candidates(seed, count=400, classes=6):
    random = np.random.RandomState(seed)
    start = random.rand(count, 2) * 200
    boxes = np.concatenate([start, start + random.rand(count, 2) * 60 + 1], 1).astype(np.float32)
    boxes[10:20] = boxes[:10]
    boxes[20] = boxes[20, [0, 1, 0, 1]]  # empty
    scores = (random.randint(1, 60, count) / 60).astype(np.float32)  # with many ties
    labels = random.randint(0, classes, count)
    labels[15:20] = labels[5:10]
    return boxes, scores, labels


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.6, 0.7])
def test_the_same_boxes_in_the_same_order(threshold):
    for seed in range(10):
        boxes, scores, labels = candidates(seed)
        arguments = map(torch.from_numpy, (boxes, scores, labels))
        dets, kept = batched_nms(*arguments, dict(type="nms", iou_threshold=threshold))
        found = suppress(boxes, scores, labels, threshold, limit=10_000)
        assert 50 < len(found) < len(boxes)
        assert found.tolist() == kept.tolist()
        np.testing.assert_array_equal(boxes[found], dets[:, :4].numpy())
        first = suppress(boxes, scores, labels, threshold, limit=30)
        assert first.tolist() == kept[:30].tolist()


def test_an_iou_at_the_threshold_is_kept():
    boxes = np.float32([[0, 0, 10, 10], [0, 0, 10, 6]])  # IoU 0.6 of float32
    scores, labels = np.float32([0.9, 0.8]), np.array([0, 0])
    assert suppress(boxes, scores, labels, 0.6, 10).tolist() == [0, 1]
    assert suppress(boxes, scores, labels, 0.59, 10).tolist() == [0]


def test_nothing():
    empty = np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)
    assert suppress(*empty, 0.5, 10).tolist() == []
