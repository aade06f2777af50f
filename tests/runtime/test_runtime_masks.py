"""Masks equal those of MMDetection and pycocotools."""

import math

import numpy as np
import pytest
import torch
from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask
from pycocotools import mask as rle
from torch.nn import functional as F

from vanillanet_det.runtime.masks import encode_mask, enlarge_masks, paste_masks

SIZE = (121, 87)


def random_objects(count=60):
    """Smooth masks, and boxes of all sizes, some of which extend beyond the image."""
    generator = torch.Generator().manual_seed(0)
    masks = F.interpolate(
        torch.rand(count, 1, 5, 5, generator=generator), (28, 28), mode="bicubic"
    ).clamp(0, 1)
    start = torch.rand(count, 2, generator=generator) * torch.tensor(SIZE[::-1])
    sides = torch.rand(count, 2, generator=generator) ** 2 * 80 + 0.5
    boxes = torch.cat([start - sides / 2, start + sides / 2], 1)
    boxes[: count // 2].clamp_(min=0)
    boxes[: count // 2] = boxes[: count // 2].minimum(torch.tensor(SIZE[::-1] * 2))
    return masks, boxes


@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_masks_are_pasted_like_mmdetection(threshold):
    masks, boxes = random_objects()
    found = paste_masks(masks[:, 0].numpy(), boxes.numpy(), SIZE, threshold)
    assert found.dtype == bool
    assert found.shape == (len(boxes), *SIZE)
    different = 0
    for index in range(len(boxes)):
        expected = np.zeros(SIZE, bool)
        part, where = _do_paste_mask(masks[index : index + 1], boxes[index : index + 1], *SIZE)
        expected[where] = part[0].numpy() >= threshold
        both, either = found[index] & expected, found[index] | expected
        assert both.sum() >= 0.99 * either.sum()
        different += (both != either).sum()
    assert found.sum() > 20_000
    assert different <= 5


@pytest.mark.parametrize("threshold", [0.5, 0.3])
@pytest.mark.parametrize("scale", [1.0, 0.4, 1.7])
def test_masks_of_the_image_are_enlarged_like_mmdetection(threshold, scale):
    height, width = SIZE
    cells = [-(-round(side * scale) // 32) * 4 for side in SIZE]  # of an input padded to 32
    generator = torch.Generator().manual_seed(1)
    masks = F.interpolate(torch.randn(1, 20, 4, 4, generator=generator), cells, mode="bicubic")
    whole = F.interpolate(masks, scale_factor=8, mode="bilinear")
    sides = [math.ceil(side / scale) for side in whole.shape[2:]]
    whole = F.interpolate(whole, size=sides, mode="bilinear")[0, :, :height, :width]
    expected = (whole.sigmoid() > threshold).numpy()
    found = enlarge_masks(masks[0].numpy(), 8, (scale, scale), SIZE, threshold)
    assert found.shape == expected.shape == (20, *SIZE)
    assert (found != expected).sum() <= 2
    assert 0.1 < found.mean() < 0.9


def test_masks_of_empty_or_outside_boxes_are_empty():
    boxes = np.float32([[5, 5, 5, 5], [-30, -30, -10, -10], [200, 5, 250, 9]])
    assert not paste_masks(np.ones((3, 28, 28), np.float32), boxes, SIZE, 0.5)[1:].any()
    assert paste_masks(np.ones((3, 28, 28), np.float32), boxes, SIZE, 0.5)[0].sum() <= 9


def test_no_mask():
    empty = np.zeros((0, 28, 28), np.float32)
    assert paste_masks(empty, np.zeros((0, 4), np.float32), SIZE, 0.5).shape == (0, *SIZE)


def test_run_lengths_equal_pycocotools():
    random = np.random.RandomState(0)
    masks = [random.rand(30, 40) > share for share in (0.01, 0.5, 0.99)]
    masks += [np.zeros((7, 9), bool), np.ones((7, 9), bool), np.ones((1, 1), bool)]
    masks.append(np.kron(random.rand(9, 7) > 0.5, np.ones((90, 120))).astype(bool))
    corner = np.zeros((2000, 1500), bool)
    corner[-1, -1] = True
    masks += [corner, ~corner, corner.T[::-1]]
    for mask in masks:
        expected = rle.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()
        assert encode_mask(mask) == expected
