import math

import pytest
import torch
from mmcv import ops
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction
from torch.testing import assert_close

from vanillanet_det.ops import OPS

SHAPES = torch.tensor([[4, 5], [2, 3]])
STARTS = torch.tensor([0, 20])


def attend(value, locations, weights):
    device = value.device
    arguments = (value, SHAPES.to(device), STARTS.to(device), locations, weights, 64)
    return MultiScaleDeformableAttnFunction.apply(*arguments)


def inputs(dtype=torch.float64, queries=5):
    value = torch.randn(2, 26, 3, 4).to(dtype)
    locations = (torch.rand(2, queries, 3, 2, 2, 2) * 1.4 - 0.2).to(dtype)
    weights = torch.rand(2, queries, 3, 2, 2).to(dtype)
    return value, locations, weights


def slow_attention(value, locations, weights):
    n, _, heads, channels = value.shape
    output = value.new_zeros(n, locations.shape[1], heads, channels)
    for b, q, m, level, p in torch.cartesian_prod(*map(torch.arange, weights.shape)).tolist():
        height, width = SHAPES[level].tolist()
        x = locations[b, q, m, level, p, 0].item() * width - 0.5
        y = locations[b, q, m, level, p, 1].item() * height - 0.5
        for i in (math.floor(y), math.floor(y) + 1):
            for j in (math.floor(x), math.floor(x) + 1):
                if 0 <= i < height and 0 <= j < width:
                    pixel = value[b, STARTS[level] + i * width + j, m]
                    share = (1 - abs(y - i)) * (1 - abs(x - j))
                    output[b, q, m] += weights[b, q, m, level, p] * share * pixel
    return output.flatten(2)


def test_against_a_loop(device):
    tensors = inputs()
    output = attend(*(tensor.to(device) for tensor in tensors))
    assert_close(output.cpu(), slow_attention(*tensors))


def test_gradients_are_derivatives(device):
    tensors = [tensor.to(device).requires_grad_() for tensor in inputs(queries=2)]
    assert torch.autograd.gradcheck(attend, tensors, check_undefined_grad=False, nondet_tol=1e-10)


def slow_gradient(value, locations, weights, grad):
    """mmcv's derivative by the locations: the slope of the pixels after a position, not before."""
    result = torch.zeros_like(locations)
    for b, q, m, level, p in torch.cartesian_prod(*map(torch.arange, weights.shape)).tolist():
        height, width = SHAPES[level].tolist()
        x = locations[b, q, m, level, p, 0].item() * width - 0.5
        y = locations[b, q, m, level, p, 1].item() * height - 0.5
        if not (-1 < x < width and -1 < y < height):
            continue
        for i in (math.floor(y), math.floor(y) + 1):
            for j in (math.floor(x), math.floor(x) + 1):
                if 0 <= i < height and 0 <= j < width:
                    pixel = value[b, STARTS[level] + i * width + j, m] @ grad[b, q, m]
                    pixel = pixel * weights[b, q, m, level, p]
                    sign_x, sign_y = 2 * (j > x) - 1, 2 * (i > y) - 1
                    result[b, q, m, level, p, 0] += sign_x * width * (1 - abs(y - i)) * pixel
                    result[b, q, m, level, p, 1] += sign_y * height * (1 - abs(x - j)) * pixel
    return result


def test_gradients_where_the_slope_changes(device):
    value, locations, weights = inputs()
    # All integer positions, up to two pixels outside the maps; most have no exact fraction.
    x, y = torch.meshgrid(torch.arange(-2.0, 8), torch.arange(-2.0, 7), indexing="ij")
    pixels = torch.stack([x, y], -1).double().view(1, -1, 1, 1, 1, 2) + 0.5
    locations = (pixels / SHAPES.flip(1)[:, None]).expand(2, -1, 3, -1, 2, -1).contiguous()
    locations[..., 1, 0] += 0.1
    weights = torch.rand(locations.shape[:-1]).double()
    grad = torch.randn(2, locations.shape[1], 3, 4).double()
    tensors = [tensor.to(device).requires_grad_() for tensor in (value, locations, weights)]
    (ours,) = torch.autograd.grad(attend(*tensors), tensors[1], grad.flatten(2).to(device))
    assert_close(ours.cpu(), slow_gradient(value, locations, weights, grad))


@pytest.mark.parametrize("position", [math.inf, -math.inf, math.nan])
def test_no_gradient_from_nowhere(position):
    value, locations, weights = inputs()
    locations = torch.full_like(locations, position).requires_grad_()
    output = attend(value.requires_grad_(), locations, weights.requires_grad_())
    (grad,) = torch.autograd.grad(output, locations, torch.ones_like(output))
    assert_close(grad, torch.zeros_like(grad))


def test_gradients_add_up():
    value, locations, weights = inputs()
    arguments = (value, SHAPES, STARTS, locations, weights, torch.randn(2, 5, 12).double())
    once = [torch.zeros_like(tensor) for tensor in (value, locations, weights)]
    twice = [torch.zeros_like(tensor) for tensor in (value, locations, weights)]
    for grads in (once, twice, twice):
        OPS["ms_deform_attn_backward"](*arguments, *grads, im2col_step=64)
    assert all(grad.abs().sum() > 0 for grad in once)
    assert_close(twice, [2 * grad for grad in once])


def test_levels_start_where_the_index_says():
    value, locations, weights = inputs()
    swapped = torch.cat([value[:, 20:], value[:, :20]], 1)
    output = OPS["ms_deform_attn_forward"](
        swapped, SHAPES, torch.tensor([6, 0]), locations, weights, im2col_step=64
    )
    assert_close(output, attend(value, locations, weights))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype, device):
    tensors = inputs(dtype)
    low = [tensor.to(device).requires_grad_() for tensor in tensors]
    wide = [tensor.float().requires_grad_() for tensor in tensors]
    output, expected = attend(*low), attend(*wide)
    assert output.dtype == dtype
    assert_close(output.cpu(), expected.to(dtype))
    grads = torch.autograd.grad(output.sum(), low)
    exact = torch.autograd.grad(expected.sum(), wide)
    for grad, wanted in zip(grads, exact):
        assert grad.dtype == dtype
        assert_close(grad.cpu(), wanted.to(dtype))


def test_no_queries(device):
    tensors = [tensor.to(device).requires_grad_() for tensor in inputs(queries=0)]
    output = attend(*tensors)
    assert output.shape == (2, 0, 12)
    output.sum().backward()
    assert_close(tensors[0].grad, torch.zeros_like(tensors[0]))


def test_the_module_agrees_with_the_op():
    layer = ops.MultiScaleDeformableAttention(16, 2, 2, 2, dropout=0.0, batch_first=True)
    query, value = torch.randn(1, 5, 16, requires_grad=True), torch.randn(1, 26, 16)
    points = torch.rand(1, 5, 2, 2)
    seen = []
    layer.output_proj.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    extra = {"spatial_shapes": SHAPES, "level_start_index": STARTS, "reference_points": points}
    layer(query, value=value, identity=torch.zeros_like(query), **extra).sum().backward()
    assert query.grad.shape == query.shape
    offsets = layer.sampling_offsets(query).view(1, 5, 2, 2, 2, 2)
    locations = points[:, :, None, :, None] + offsets / SHAPES.flip(1)[:, None]
    weights = layer.attention_weights(query).view(1, 5, 2, 4).softmax(-1).view(1, 5, 2, 2, 2)
    output = attend(layer.value_proj(value).view(1, 26, 2, 8), locations, weights)
    assert_close(output, seen[0])
