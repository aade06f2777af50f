import pytest
import torch
import torch.nn.functional as F
from mmcv import ops
from torch.testing import assert_close

from vanillanet_det.ops import OPS


@pytest.mark.parametrize(("kernel", "padding"), [((3, 3), 1), ((1, 1), 0), ((5, 3), (2, 1))])
def test_it_is_a_masked_convolution(kernel, padding, device):
    layer = ops.MaskedConv2d(4, 6, kernel, padding=padding).to(device)
    x = torch.randn(1, 4, 7, 9, device=device)
    mask = torch.rand(1, 7, 9, device=device) > 0.6
    expected = F.conv2d(x, layer.weight, layer.bias, padding=padding) * mask
    assert_close(layer(x, mask), expected)
    assert mask.any()


@pytest.mark.parametrize("pad", [(0, 0), (1, 2), (3, 3)])
def test_patches_may_reach_past_every_border(pad):
    x = torch.randn(1, 2, 4, 5)
    rows, columns = (
        index.flatten() for index in torch.meshgrid(torch.arange(4), torch.arange(5), indexing="ij")
    )
    col = torch.full((2 * 3 * 2, 20), 7.0)
    OPS["masked_im2col_forward"](x, rows, columns, col, 3, 2, *pad)
    for m, (h, w) in enumerate(zip(rows.tolist(), columns.tolist())):
        for c in range(2):
            for i in range(3):
                for j in range(2):
                    y, z = h - pad[0] + i, w - pad[1] + j
                    inside = 0 <= y < 4 and 0 <= z < 5
                    expected = x[0, c, y, z].item() if inside else 0.0
                    assert col[(c * 3 + i) * 2 + j, m].item() == expected


def test_col2im_leaves_other_positions():
    im = torch.ones(1, 2, 3, 3)
    col = torch.tensor([[5.0, 6.0], [7.0, 8.0]])
    OPS["masked_col2im_forward"](col, torch.tensor([0, 2]), torch.tensor([1, 2]), im, 3, 3, 2)
    expected = torch.ones(1, 2, 3, 3)
    expected[0, :, 0, 1], expected[0, :, 2, 2] = torch.tensor([5.0, 7]), torch.tensor([6.0, 8])
    assert_close(im, expected)


def test_nothing_chosen(device):
    layer = ops.MaskedConv2d(4, 6, 3, padding=1).to(device)
    x, mask = torch.randn(1, 4, 7, 9, device=device), torch.zeros(1, 7, 9, device=device)
    assert_close(layer(x, mask), torch.zeros(1, 6, 7, 9, device=device))
    none = torch.zeros(0, dtype=torch.long, device=device)
    col = torch.zeros(36, 0, device=device)
    OPS["masked_im2col_forward"](x, none, none, col, 3, 3, 1, 1)
    assert col.shape == (36, 0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype, device):
    if (dtype, device) == (torch.float16, "cpu") and torch.__version__ < (2, 2):
        pytest.skip("PyTorch 2.1 has no fp16 on CPUs, which mmcv's own part of this layer needs")
    layer = ops.MaskedConv2d(4, 6, 3, padding=1).to(device, dtype)
    x = torch.randn(1, 4, 7, 9).to(device, dtype)
    mask = torch.rand(1, 7, 9, device=device) > 0.6
    output = layer(x, mask)
    assert output.dtype == dtype
    assert_close(output, F.conv2d(x, layer.weight, layer.bias, padding=1) * mask)


def test_under_autocast():
    layer = ops.MaskedConv2d(4, 6, 3, padding=1)
    x, mask = torch.randn(1, 4, 7, 9), torch.rand(1, 7, 9) > 0.6
    expected = layer(x, mask)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_close(layer(x, mask), expected, rtol=0.05, atol=0.05)
