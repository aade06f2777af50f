import pytest
import torch
from mmcv import ops
from torch.testing import assert_close

from vanillanet_det.ops import OPS

ROIS = torch.tensor([[0.0, 6.1, 5.3, 15.7, 17.2], [1, 4.0, 5.0, 13.4, 11.2]]).double()


def pool(*arguments):
    return ops.deform_roi_pool(*arguments)


def test_without_offsets_it_is_roi_align(device):
    features = torch.randn(2, 3, 12, 12, device=device, requires_grad=True)
    rois = torch.tensor([[0.0, -5, -3, 9, 8], [1, 1, 2, 30, 30], [0, 3, 3, 3, 3]], device=device)
    for ratio in (0, 2):
        output = pool(features, rois, None, (3, 2), 0.5, ratio)
        expected = ops.roi_align(features, rois, (3, 2), 0.5, ratio)
        assert_close(output, expected)
        grad_output = torch.randn_like(output)
        assert_close(
            torch.autograd.grad(output, features, grad_output),
            torch.autograd.grad(expected, features, grad_output),
        )


@pytest.mark.parametrize("ratio", [0, 2])
def test_gradients_are_derivatives(ratio, device):
    features = torch.randn(2, 2, 10, 10, dtype=torch.float64, device=device, requires_grad=True)
    offset = torch.randn(2, 2, 3, 2, dtype=torch.float64, device=device, requires_grad=True)
    rois = ROIS.to(device)

    def function(features, offset):
        return pool(features, rois, offset, (3, 2), 0.5, ratio, 0.1)

    assert torch.autograd.gradcheck(
        function, (features, offset), check_undefined_grad=False, fast_mode=True
    )


def test_an_offset_moves_a_bin():
    # A plane that grows to the right by 1 and downwards by 10 a pixel.
    y, x = torch.meshgrid(torch.arange(20.0), torch.arange(20.0), indexing="ij")
    features = (10 * y + x)[None, None]
    rois = torch.tensor([[0.0, 4, 5, 10, 13]])
    offset = torch.zeros(1, 2, 2, 2)
    offset[0, 0, 1, 0], offset[0, 1, 0, 1] = 1, -1
    moved = pool(features, rois, offset, 2, 1.0, 2, 0.25) - pool(features, rois, None, 2, 1.0, 2)
    # In x by a quarter of the width 6, in y by a quarter of the height 8.
    assert_close(moved[0, 0], torch.tensor([[0.0, -20.0], [1.5, 0.0]]))


def test_samples_beyond_the_border_follow_mmcv():
    # One sample at y = -0.5, drawn to row 0 for its value; its derivative by x is
    # (v11 - v01) (y - 0) + (v10 - v00) (1 - y), with the undrawn y.
    features = torch.tensor([[1.0, 4.0], [2.0, 11.0]], dtype=torch.float64)[None, None]
    rois = torch.tensor([[0.0, 0.5, -0.5, 1.5, 0.5]], dtype=torch.float64)
    offset = torch.zeros(1, 2, 1, 1, dtype=torch.float64, requires_grad=True)
    output = pool(features, rois, offset, 1, 1.0, 1, 1.0)
    (grad,) = torch.autograd.grad(output, offset)
    assert output.item() == 2.5
    assert grad.flatten().tolist() == [9 * -0.5 + 3 * 1.5, (11 - 4) * 0.5 + (2 - 1) * 0.5]


@pytest.mark.parametrize("corner", [-9.0, 20.0])
def test_far_outside_nothing_is_sampled(corner):
    offset = torch.zeros(1, 2, 1, 1, requires_grad=True)
    features = torch.randn(1, 2, 4, 4, requires_grad=True)
    output = pool(
        features, torch.tensor([[0.0, corner, corner, corner + 4, corner + 4]]), offset, 1, 1.0, 2
    )
    output.sum().backward()
    for tensor in (output, offset.grad, features.grad):
        assert_close(tensor, torch.zeros_like(tensor))


def test_packs_learn():
    features = torch.randn(2, 4, 10, 10, requires_grad=True)
    for pack in (ops.DeformRoIPoolPack, ops.ModulatedDeformRoIPoolPack):
        layer = pack((3, 3), 4, deform_fc_channels=8, spatial_scale=0.5)
        layer(features, ROIS.float()).sum().backward()
        assert layer.offset_fc[-1].bias.grad.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype, device):
    features, offset = torch.randn(2, 3, 10, 10).to(dtype), torch.randn(2, 2, 2, 2).to(dtype)
    low = [tensor.to(device).requires_grad_() for tensor in (features, offset)]
    wide = [tensor.float().requires_grad_() for tensor in (features, offset)]
    output = pool(low[0], ROIS.to(device, dtype), low[1], 2, 0.5, 2)
    expected = pool(wide[0], ROIS.to(dtype).float(), wide[1], 2, 0.5, 2)
    assert output.dtype == dtype
    assert_close(output.cpu(), expected.to(dtype))
    grads = torch.autograd.grad(output.sum(), low)
    for grad, exact in zip(grads, torch.autograd.grad(expected.sum(), wide)):
        assert_close(grad.cpu(), exact.to(dtype))


def test_no_rois(device):
    features = torch.randn(1, 3, 5, 5, device=device, requires_grad=True)
    rois, offset = torch.zeros(0, 5, device=device), torch.zeros(0, 2, 2, 2, device=device)
    output = pool(features, rois, offset, 2)
    assert output.shape == (0, 3, 2, 2)
    output.sum().backward()
    assert_close(features.grad, torch.zeros_like(features))


def test_gradients_add_up():
    features, offset = torch.randn(2, 2, 10, 10).double(), torch.randn(2, 2, 3, 2).double()
    grad_output = torch.randn(2, 2, 3, 2).double()
    once = [torch.zeros_like(features), torch.zeros_like(offset)]
    twice = [torch.zeros_like(features), torch.zeros_like(offset)]
    for grads in (once, twice, twice):
        OPS["deform_roi_pool_backward"](
            grad_output, features, ROIS, offset, *grads, 3, 2, 0.5, 2, 0.1
        )
    assert_close(twice, [2 * grad for grad in once])
