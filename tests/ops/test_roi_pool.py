import math

import pytest
import torch
from mmcv import ops
from torch.testing import assert_close

from vanillanet_det.ops import OPS

ROIS = torch.tensor(
    [
        [0.0, 1, 2, 9, 7],
        [1, 0, 0, 0, 0],
        [1, -6, -5, 3, 3],
        [0, 5, 5, 40, 30],
        [0, 20, 1, 30, 4],  # outside
        [1, 2.6, 3.3, 7.9, 5.1],
    ]
)


def slow_roi_pool(features, rois, bins, scale):
    height, width = features.shape[2:]
    output = features.new_zeros(len(rois), features.shape[1], *bins)
    argmax = torch.full(output.shape, -1, dtype=torch.int)
    for k, (image, x1, y1, x2, y2) in enumerate(rois.tolist()):
        y, x = y1 * scale, x1 * scale
        step_y, step_x = ((y2 + 1) * scale - y) / bins[0], ((x2 + 1) * scale - x) / bins[1]
        for ph in range(bins[0]):
            top = min(max(math.floor(ph * step_y + y), 0), height)
            bottom = min(max(math.ceil((ph + 1) * step_y + y), 0), height)
            for pw in range(bins[1]):
                left = min(max(math.floor(pw * step_x + x), 0), width)
                right = min(max(math.ceil((pw + 1) * step_x + x), 0), width)
                for c in range(features.shape[1]):
                    best = None
                    for i in range(top, bottom):
                        for j in range(left, right):
                            value = features[int(image), c, i, j]
                            if best is None or value > best:
                                best = value
                                argmax[k, c, ph, pw] = i * width + j
                    if best is not None:
                        output[k, c, ph, pw] = best
    return output, argmax


@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("ties", [False, True])
def test_against_a_loop(scale, ties, device):
    features = torch.randn(2, 3, 9, 11, dtype=torch.float64)
    if ties:
        features = features.round()
    slow = features.clone().requires_grad_()
    expected, expected_argmax = slow_roi_pool(slow, ROIS, (3, 2), scale)
    grad_output = torch.randn_like(expected)
    (expected_grad,) = torch.autograd.grad(expected, slow, grad_output)
    features, rois = features.to(device).requires_grad_(), ROIS.double().to(device)
    output = ops.roi_pool(features, rois, (3, 2), scale)
    (grad,) = torch.autograd.grad(output, features, grad_output.to(device))
    assert_close(output.cpu(), expected)
    assert_close(grad.cpu(), expected_grad)
    buffer = torch.zeros_like(output)
    argmax = torch.zeros(output.shape, dtype=torch.int, device=device)
    OPS["roi_pool_forward"](features, rois, buffer, argmax, 3, 2, scale)
    assert_close(argmax.cpu(), expected_argmax, rtol=0, atol=0)
    assert (argmax == -1).any()


def test_rois_of_negative_size_are_left_alone():
    features = torch.randn(1, 1, 5, 5)
    output, argmax = torch.full((2, 1, 1, 1), 7.0), torch.full((2, 1, 1, 1), 9, dtype=torch.int)
    rois = torch.tensor([[0.0, 3, 0, 1, 2], [0, 1, 1, 1, 1]])
    OPS["roi_pool_forward"](features, rois, output, argmax, 1, 1, 1.0)
    assert output.flatten().tolist() == [7.0, features[0, 0, 1, 1].item()]
    assert argmax.flatten().tolist() == [9, 6]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype, device):
    features = torch.randn(2, 3, 9, 11).to(dtype)
    low, wide = features.to(device).requires_grad_(), features.float().requires_grad_()
    output = ops.roi_pool(low, ROIS.to(device, dtype), 2, 0.5)
    expected = ops.roi_pool(wide, ROIS.to(dtype).float(), 2, 0.5)
    assert output.dtype == dtype
    assert_close(output.cpu().float(), expected, rtol=0, atol=0)
    (grad,) = torch.autograd.grad(output.sum(), low)
    assert_close(grad.cpu().float(), torch.autograd.grad(expected.sum(), wide)[0])


def test_no_rois(device):
    features = torch.randn(1, 3, 5, 5, device=device, requires_grad=True)
    output = ops.roi_pool(features, torch.zeros(0, 5, device=device), 2)
    assert output.shape == (0, 3, 2, 2)
    output.sum().backward()
    assert_close(features.grad, torch.zeros_like(features))
