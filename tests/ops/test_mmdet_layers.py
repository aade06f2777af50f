"""What MMDetection takes from mmcv.ops without an op of its own: forward and backward."""

import pytest
import torch
from mmcv import ops
from mmcv.ops.merge_cells import ConcatCell, GlobalPoolingCell, SumCell
from torch.testing import assert_close


@pytest.mark.parametrize(
    ("mode", "dim", "flip"),
    [("top", 2, True), ("bottom", 2, False), ("left", 3, True), ("right", 3, False)],
)
def test_corner_pool(mode, dim, flip):
    x = torch.randn(1, 2, 5, 6, requires_grad=True)
    pooled = ops.CornerPool(mode)(x)
    source = x.flip(dim) if flip else x
    expected = torch.stack(
        [source.narrow(dim, 0, end + 1).amax(dim) for end in range(x.shape[dim])], dim
    )
    assert_close(pooled, expected.flip(dim) if flip else expected)
    pooled.sum().backward()
    assert x.grad.sum() == pooled.numel()


@pytest.mark.parametrize("cell", [ConcatCell, GlobalPoolingCell, SumCell])
def test_merge_cells(cell):
    high, low = torch.randn(1, 4, 8, 8, requires_grad=True), torch.randn(1, 4, 4, 4)
    output = cell(4, 4)(high, low, out_size=(4, 4))
    assert output.shape == (1, 4, 4, 4)
    output.sum().backward()
    assert high.grad.abs().sum() > 0


def test_point_sample():
    x = torch.arange(12.0).view(1, 1, 3, 4).requires_grad_()
    points = torch.tensor([[[0.5 / 4, 0.5 / 3], [2.0 / 4, 1.5 / 3]]])
    values = ops.point_sample(x, points)
    assert_close(values, torch.tensor([[[0.0, 5.5]]]))
    values.sum().backward()
    assert x.grad.sum() == 2


def test_simple_roi_align():
    x = torch.randn(2, 3, 8, 8, requires_grad=True)
    rois = torch.tensor([[0.0, 1, 1, 6, 6], [1, 0, 2, 5, 7]])
    output = ops.SimpleRoIAlign((4, 4), 1.0)(x, rois)
    assert output.shape == (2, 3, 4, 4)
    output.sum().backward()
    assert x.grad.abs().sum() > 0


def test_sac_convolution():
    layer = ops.SAConv2d(4, 6, 3, padding=1, use_deform=True)
    torch.nn.init.constant_(layer.switch.bias, 0.5)  # as built, only one branch counts
    x = torch.randn(1, 4, 8, 8, requires_grad=True)
    layer(x).sum().backward()
    assert layer.weight.grad.abs().sum() > 0
    assert layer.weight_diff.grad.abs().sum() > 0


def test_layers_of_every_type():
    x = torch.randn(2, 4, 8, 8)
    rois = torch.tensor([[0.0, 1, 1, 6, 6], [1, 0, 2, 5, 7]])
    for layer in (
        ops.RoIAlign(3, 1.0, 2),
        ops.RoIAlign(3, 1.0, 2, "max"),
        ops.RoIPool(3, 1.0),
    ):
        features = x.clone().requires_grad_()
        output = layer(features, rois)
        assert output.shape == (2, 4, 3, 3)
        output.sum().backward()
        # A bin is a weighted mean of pixels inside the map: its gradient sums to 1.
        assert features.grad.sum().item() == pytest.approx(output.numel(), rel=1e-4)
