import pytest
import torch
import torch.nn.functional as F
from mmcv import ops
from torch.testing import assert_close

from vanillanet_det.ops import OPS

GEOMETRY = {
    "kW": 3,
    "kH": 3,
    "dW": 1,
    "dH": 1,
    "padW": 1,
    "padH": 1,
    "dilationW": 1,
    "dilationH": 1,
    "group": 1,
    "deformable_group": 1,
    "im2col_step": 1,
}


def sample(plane, y, x):
    """Bilinear sample, differentiable in all arguments; 0 from a pixel outside on.

    Where a position is an integer, the slope is the one of the pixels after it, as in mmcv.
    """
    height, width = plane.shape
    value = 0.0 * y * x
    if not (-1 < y < height and -1 < x < width):
        return value
    top, left = int(y.detach().floor()), int(x.detach().floor())
    for i, share_y in ((top, top + 1 - y), (top + 1, y - top)):
        for j, share_x in ((left, left + 1 - x), (left + 1, x - left)):
            if 0 <= i < height and 0 <= j < width:
                value = value + share_y * share_x * plane[i, j]
    return value


def slow_deform_conv(x, offset, mask, weight, bias, stride, padding, dilation, groups, parts):
    n, channels = x.shape[:2]
    out, per_group, kh, kw = weight.shape
    h_out, w_out = offset.shape[2:]
    output = []
    for b in range(n):
        for o in range(out):
            first = o // (out // groups) * per_group
            for i in range(h_out):
                for j in range(w_out):
                    total = bias[o] if bias is not None else 0.0
                    for c in range(first, first + per_group):
                        part = c // (channels // parts)
                        for t in range(kh * kw):
                            tap = part * kh * kw + t
                            y = i * stride[0] - padding[0] + t // kw * dilation[0]
                            z = j * stride[1] - padding[1] + t % kw * dilation[1]
                            y, z = y + offset[b, 2 * tap, i, j], z + offset[b, 2 * tap + 1, i, j]
                            value = sample(x[b, c], y, z) * weight[o, c - first].flatten()[t]
                            total = total + (value if mask is None else value * mask[b, tap, i, j])
                    output.append(total)
    return torch.stack(output).view(n, out, h_out, w_out)


def test_reference(reference):
    for case in reference["deform_conv"]:
        names = ("input", "offset", "mask", "weight", "bias")
        tensors = [case[name] for name in names if name in case]
        for tensor in tensors:
            if tensor is not None:
                tensor.requires_grad_()
        function = ops.deform_conv2d if case["kind"] == "deform" else ops.modulated_deform_conv2d
        output = function(*tensors, 1, 1, 1, case["groups"], case["deform_groups"])
        assert_close(output, case["output"], rtol=0, atol=1e-5)
        grads = torch.autograd.grad(
            output, [tensor for tensor in tensors if tensor is not None], case["grad_output"]
        )
        # Sums over all pixels: relative, where they are large.
        assert_close(list(grads), case["grads"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("modulated", [False, True])
@pytest.mark.parametrize("offsets", ["fractions", "integers", "zeros"])
def test_against_a_loop(modulated, offsets, device):
    stride, padding, dilation, groups, parts = (2, 1), (1, 2), (1, 2), 2, 2
    x = torch.randn(2, 4, 5, 6).double()
    weight = torch.randn(2, 2, 3, 2).double()
    shape = F.conv2d(x, weight, None, stride, padding, dilation, groups).shape[2:]
    # Integers reach all borders, exactly a pixel outside; zeros reach those at the start.
    spread = {"fractions": 1, "integers": 3, "zeros": 0}[offsets]
    offset = spread * torch.randn(2, parts * 3 * 2 * 2, *shape).double()
    offset = offset.round() if offsets == "integers" else offset
    mask = torch.rand(2, parts * 3 * 2, *shape).double() if modulated else None
    bias = torch.randn(2).double() if modulated else None
    geometry = (stride, padding, dilation, groups, parts)
    given = [tensor for tensor in (x, offset, mask, weight, bias) if tensor is not None]
    slow = [None if t is None else t.clone().requires_grad_() for t in (x, offset, mask)]
    slow += [None if t is None else t.clone().requires_grad_() for t in (weight, bias)]
    expected = slow_deform_conv(*slow, *geometry)
    fast = [tensor.to(device).requires_grad_() for tensor in given]
    function = ops.modulated_deform_conv2d if modulated else ops.deform_conv2d
    output = function(*fast, *geometry)
    grad_output = torch.randn_like(expected)
    assert_close(output.cpu(), expected)
    grads = torch.autograd.grad(output, fast, grad_output.to(device))
    exact = torch.autograd.grad(expected, [t for t in slow if t is not None], grad_output)
    assert_close([grad.cpu() for grad in grads], list(exact))


def test_without_offsets_it_is_a_convolution():
    x = torch.randn(2, 4, 7, 7)
    plain = ops.DeformConv2dPack(4, 6, 3, padding=1)
    assert_close(plain(x), F.conv2d(x, plain.weight, None, padding=1))
    modulated = ops.ModulatedDeformConv2dPack(4, 6, 3, padding=1)
    expected = F.conv2d(x, modulated.weight / 2, modulated.bias, padding=1)
    assert_close(modulated(x), expected)


def test_gradients_of_an_initial_layer():
    layer = ops.ModulatedDeformConv2dPack(1, 1, kernel_size=(2, 2), padding=1, bias=False)
    torch.nn.init.ones_(layer.weight)
    layer(torch.tensor([[[[1.0, 2, 3]] * 3]])).sum().backward()
    # Its first offset is the y of samples in the row above the image, which don't move it.
    assert_close(layer.conv_offset.weight.grad[0], torch.tensor([[[-7.0, -4], [0, 0]]]))


@pytest.mark.parametrize("size", [(6, 8), (4, 3)])
def test_offsets_of_another_map_are_read_as_mmcv_does(size):
    x, weight = torch.randn(2, 2, 3, 4).double(), torch.randn(3, 2, 3, 3).double()
    offset, mask = torch.randn(2, 18, *size).double(), torch.rand(2, 9, *size).double()
    tensors = [tensor.requires_grad_() for tensor in (x, offset, mask, weight)]
    output = ops.modulated_deform_conv2d(*tensors, None, 1, 1)
    first = [tensor.reshape(2, -1) for tensor in (offset, mask)]
    read = first[0][:, : 18 * 12].view(2, 18, 3, 4), first[1][:, : 9 * 12].view(2, 9, 3, 4)
    expected = ops.modulated_deform_conv2d(x, *read, weight, None, 1, 1)
    assert_close(output, expected)
    grad_output = torch.randn_like(output)
    grads = torch.autograd.grad(output, tensors, grad_output)
    assert_close(grads, torch.autograd.grad(expected, tensors, grad_output))


@pytest.mark.parametrize("size", [(2, 3), (4, 2)])
def test_offsets_of_a_smaller_map_are_refused(size):
    x, weight = torch.randn(2, 2, 3, 4), torch.randn(3, 2, 3, 3)
    offset, mask = torch.randn(2, 18, *size), torch.rand(2, 9, *size)
    with pytest.raises(RuntimeError, match="offset output dims"):
        ops.modulated_deform_conv2d(x, offset, mask, weight, None, 1, 1)


def test_gradients_add_up_as_the_wrappers_expect():
    x, weight = torch.randn(1, 2, 5, 5), torch.randn(3, 2, 3, 3)
    offset, grad_output = torch.randn(1, 18, 5, 5), torch.randn(1, 3, 5, 5)
    scratch = torch.empty(0)
    backward_input = OPS["deform_conv_backward_input"]
    backward_weight = OPS["deform_conv_backward_parameters"]
    once, more = torch.zeros_like(weight), torch.zeros_like(weight)
    by_input, by_offset = torch.ones_like(x), torch.ones_like(offset)
    fresh = torch.zeros_like(x), torch.ones_like(offset)
    backward_weight(x, offset, grad_output, once, scratch, scratch, scale=1, **GEOMETRY)
    for scale in (1, 0.5):
        backward_weight(x, offset, grad_output, more, scratch, scratch, scale=scale, **GEOMETRY)
    assert_close(more, 1.5 * once)
    for buffers in ((by_input, by_offset), fresh):
        backward_input(x, offset, grad_output, *buffers, weight, scratch, **GEOMETRY)
    assert_close(by_input, fresh[0] + 1)
    assert_close(by_offset, fresh[1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype, device):
    x, offset = torch.randn(2, 4, 6, 6).to(dtype), torch.randn(2, 18, 6, 6).to(dtype)
    mask, weight = torch.rand(2, 9, 6, 6).to(dtype), torch.randn(5, 4, 3, 3).to(dtype)
    for tensors in ((x, offset, weight), (x, offset, mask, weight)):
        function = ops.deform_conv2d if len(tensors) == 3 else ops.modulated_deform_conv2d
        rest = () if len(tensors) == 3 else (None,)
        low = [tensor.to(device).requires_grad_() for tensor in tensors]
        wide = [tensor.float().requires_grad_() for tensor in tensors]
        output = function(*low, *rest, 1, 1)
        expected = function(*wide, *rest, 1, 1)
        assert output.dtype == dtype
        assert_close(output.cpu(), expected.to(dtype))
        grads = torch.autograd.grad(output.sum(), low)
        exact = torch.autograd.grad(expected.sum(), wide)
        assert_close([grad.cpu() for grad in grads], [grad.to(dtype) for grad in exact])


def test_under_autocast():
    layer = ops.ModulatedDeformConv2dPack(4, 6, 3, padding=1)
    torch.nn.init.normal_(layer.conv_offset.weight, std=0.1)
    x = torch.randn(2, 4, 7, 7)
    expected = layer(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = layer(x)
    assert output.dtype == torch.bfloat16  # by mmcv's rule, the type of the offsets
    assert_close(output.float(), expected, rtol=0.1, atol=0.1)
    output.float().sum().backward()
    assert layer.weight.grad.dtype == torch.float32


def test_no_images():
    x, offset, weight = torch.zeros(0, 2, 5, 5), torch.zeros(0, 18, 5, 5), torch.zeros(3, 2, 3, 3)
    output, scratch = torch.zeros(0, 3, 5, 5), torch.empty(0)
    OPS["deform_conv_forward"](x, weight, offset, output, scratch, scratch, **GEOMETRY)
    assert output.shape == (0, 3, 5, 5)
