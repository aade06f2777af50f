"""What the CPU computes fastest is what PyTorch's operators compute."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from vanillanet_det.layers.pointwise import PointwiseConv2d, max_pool_inplace

LAYOUTS = [torch.contiguous_format, torch.channels_last]


def operators(function, *args):
    """Names of the operators that a call comes down to."""
    with torch.profiler.profile() as profile:
        function(*args)
    return {event.key for event in profile.key_averages()}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_pointwise_convolution_is_a_convolution(layout, batch, dtype):
    conv = PointwiseConv2d(5, 7, dtype=dtype)
    x = torch.randn(batch, 5, 6, 9, dtype=dtype).to(memory_format=layout)
    expected = F.conv2d(x, conv.weight, conv.bias)
    with torch.no_grad():
        found = conv(x)
    tolerance = {} if dtype == torch.float32 else dict(rtol=0.02, atol=0.02)
    assert_close(found, expected, **tolerance)
    assert found.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_without_gradients_it_is_a_matrix_product(layout):
    conv, x = PointwiseConv2d(5, 7), torch.randn(2, 5, 6, 9).to(memory_format=layout)
    with torch.no_grad():
        assert "aten::convolution" not in operators(conv, x)
    assert "aten::convolution" in operators(conv, x)


def test_it_is_a_convolution_to_whoever_asks():
    conv = PointwiseConv2d(5, 7)
    assert isinstance(conv, nn.Conv2d)
    conv.load_state_dict(nn.Conv2d(5, 7, 1).state_dict())
    with torch.no_grad():
        assert (
            "convolution" in torch.jit.trace(conv, torch.randn(1, 5, 4, 4)).inlined_graph.__str__()
        )
        exported = torch.export.export(conv.eval(), (torch.randn(1, 5, 4, 4),))
    assert "aten.conv2d" in str(exported.graph)


def test_gradients_come_through():
    conv, x = PointwiseConv2d(5, 7), torch.randn(1, 5, 4, 4, requires_grad=True)
    conv(x).sum().backward()
    assert_close(x.grad[0, :, 0, 0], conv.weight.sum(0).flatten())


def test_under_autocast_it_computes_in_16_bits():
    conv = PointwiseConv2d(5, 7)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert conv(torch.randn(1, 5, 4, 4)).dtype == torch.bfloat16


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("size", "stride"), [((8, 12), 2), ((9, 7), 2), ((7, 11), 3), ((2, 2), 2)])
def test_max_pooling(layout, size, stride):
    x = torch.randn(2, 3, *size).to(memory_format=layout)
    expected = F.max_pool2d(x, stride)
    found = max_pool_inplace(x.clone(), stride)
    assert torch.equal(found, expected)
    assert found.is_contiguous(memory_format=layout)


def test_max_pooling_hands_nan_on():
    x = torch.zeros(1, 1, 4, 4)
    x[0, 0, 1, 2] = float("nan")
    assert max_pool_inplace(x, 2).isnan().flatten().tolist() == [False, True, False, False]
