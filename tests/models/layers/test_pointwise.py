"""What the CPU computes fastest is what PyTorch's operators compute."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from vanillanet_det.models.layers import pointwise
from vanillanet_det.models.layers.norm import batch_norm
from vanillanet_det.models.layers.pointwise import PointwiseConv2d, convolve_and_pool
from vanillanet_det.models.layers.series_activation import Series
from vanillanet_det.models.layers.stage import Stage

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
    # PyTorch 2.1 exports the operator that conv2d calls.
    operator = "aten.convolution" if torch.__version__ < (2, 2) else "aten.conv2d"
    assert operator in str(exported.graph)


def test_gradients_come_through():
    conv, x = PointwiseConv2d(5, 7), torch.randn(1, 5, 4, 4, requires_grad=True)
    conv(x).sum().backward()
    assert_close(x.grad[0, :, 0, 0], conv.weight.sum(0).flatten())


def test_under_autocast_it_computes_in_16_bits(monkeypatch):
    monkeypatch.setattr(pointwise, "STRIP_BYTES", 1)
    conv, x = PointwiseConv2d(5, 7), torch.randn(1, 5, 4, 4)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert conv(x).dtype == convolve_and_pool(conv, x, 2).dtype == torch.bfloat16


@pytest.mark.parametrize("strip", [1, 1000, 10**6])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("size", "stride"), [((8, 12), 2), ((9, 7), 2), ((7, 11), 3), ((2, 2), 2)])
def test_convolution_and_max_pooling(strip, layout, size, stride, monkeypatch):
    monkeypatch.setattr(pointwise, "STRIP_BYTES", strip)
    conv, x = PointwiseConv2d(3, 5), torch.randn(2, 3, *size).to(memory_format=layout)
    with torch.no_grad():
        expected = F.max_pool2d(F.conv2d(x, conv.weight, conv.bias), stride)
        found = convolve_and_pool(conv, x, stride)
    assert_close(found, expected)
    assert found.is_contiguous(memory_format=layout)


def test_a_large_feature_is_never_there_as_a_whole():
    conv, x = PointwiseConv2d(1, 64), torch.randn(1, 1, 512, 512)  # 64 MiB before pooling
    with torch.no_grad(), torch.profiler.profile(profile_memory=True) as profile:
        convolve_and_pool(conv, x, 2)
    largest = max(event.self_cpu_memory_usage / event.count for event in profile.key_averages())
    assert largest <= 16 * 2**20


@pytest.mark.parametrize("stride", [1, 2])
def test_who_watches_a_layer_sees_what_it_gives(stride):
    stage = Stage(3, 5, stride, Series(1), False, batch_norm, "deployed")
    nn.init.normal_(stage.conv.weight)
    x, seen = torch.randn(1, 3, 8, 8), []
    for module in (stage.conv, stage.pool):
        module.register_forward_hook(lambda module, args, output: seen.append(output))
    with torch.no_grad():
        y = stage(x, 1.0)
    conv = F.conv2d(x, stage.conv.weight, stage.conv.bias)
    assert_close(seen[0], conv)
    assert_close(seen[1], F.max_pool2d(conv, stride))
    assert_close(y, stage(x, 1.0))


def test_max_pooling_hands_nan_on():
    conv, x = PointwiseConv2d(1, 1), torch.zeros(1, 1, 4, 4)
    x[0, 0, 1, 2] = float("nan")
    with torch.no_grad():
        found = convolve_and_pool(conv, x, 2)
    assert found.isnan().flatten().tolist() == [False, True, False, False]
