import pytest
import torch
from mmcv import ops
from torch.testing import assert_close

from vanillanet_det.ops import OPS


def slow_carafe(features, masks, kernel_size, groups, scale):
    n, channels, height, width = features.shape
    output = features.new_zeros(n, channels, height * scale, width * scale)
    edge = kernel_size // 2
    for c in range(channels):
        group = c // (channels // groups)
        for i in range(height * scale):
            for j in range(width * scale):
                for tap in range(kernel_size**2):
                    y = i // scale + tap // kernel_size - edge
                    x = j // scale + tap % kernel_size - edge
                    if 0 <= y < height and 0 <= x < width:
                        mask = masks[:, group * kernel_size**2 + tap, i, j]
                        output[:, c, i, j] += features[:, c, y, x] * mask
    return output


def inputs(kernel_size, groups, scale):
    features = torch.randn(2, 4, 3, 5, dtype=torch.float64)
    masks = torch.rand(2, groups * kernel_size**2, 3 * scale, 5 * scale, dtype=torch.float64)
    return features, masks


CASES = [(5, 1, 2), (3, 2, 3), (1, 4, 1)]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("function", [ops.carafe, ops.carafe_naive])
def test_against_a_loop(function, case, device):
    features, masks = inputs(*case)
    output = function(features.to(device), masks.to(device), *case)
    assert_close(output.cpu(), slow_carafe(features, masks, *case))


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_derivatives(case, device):
    tensors = [tensor.to(device).requires_grad_() for tensor in inputs(*case)]
    assert torch.autograd.gradcheck(
        lambda *tensors: ops.carafe(*tensors, *case),
        tensors,
        check_undefined_grad=False,
        fast_mode=True,
    )


def test_naive_gradients_add_up():
    # Not through mmcv, whose naive wrapper asserts a CUDA gradient.
    features, masks = (tensor.requires_grad_() for tensor in inputs(3, 2, 2))
    output = ops.carafe(features, masks, 3, 2, 2)
    grad_output = torch.randn_like(output)
    expected = torch.autograd.grad(output, (features, masks), grad_output)
    buffers = torch.zeros_like(features), torch.zeros_like(masks)
    for _ in range(2):
        OPS["carafe_naive_backward"](grad_output, features, masks, *buffers, 3, 2, 2)
    assert_close(list(buffers), [2 * grad for grad in expected])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype, device):
    tensors = [tensor.to(dtype) for tensor in inputs(5, 1, 2)]
    low = [tensor.to(device).requires_grad_() for tensor in tensors]
    wide = [tensor.float().requires_grad_() for tensor in tensors]
    output, expected = ops.carafe(*low, 5, 1, 2), ops.carafe(*wide, 5, 1, 2)
    assert output.dtype == dtype
    assert_close(output.cpu(), expected.to(dtype))
    grads = torch.autograd.grad(output.sum(), low)
    exact = torch.autograd.grad(expected.sum(), wide)
    assert_close([grad.cpu() for grad in grads], [grad.to(dtype) for grad in exact])


def test_no_images():
    features, masks = torch.zeros(0, 4, 3, 5), torch.zeros(0, 9, 6, 10)
    assert ops.carafe(features, masks, 3, 1, 2).shape == (0, 4, 6, 10)


def test_pack_learns():
    layer = ops.CARAFEPack(8, 2, compressed_channels=4)
    x = torch.randn(1, 8, 4, 5, requires_grad=True)
    output = layer(x)
    assert output.shape == (1, 8, 8, 10)
    output.square().sum().backward()
    assert layer.content_encoder.weight.grad.abs().sum() > 0
    assert x.grad.abs().sum() > 0
