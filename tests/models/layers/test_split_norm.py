"""Split normalisation against its formula, and its fusion at every border."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from vanillanet_det import UserError
from vanillanet_det.models.layers.split_norm import SplitNormConv2d

CONVOLUTIONS = {
    "1x1": dict(kernel_size=1),
    "1x1, stride 2": dict(kernel_size=1, stride=2),
    "3x3": dict(kernel_size=3),
    "padded": dict(kernel_size=3, padding=1),
    "padded on one axis": dict(kernel_size=(1, 5), padding=(0, 2)),
    "stride, dilation, groups": dict(kernel_size=3, padding=2, stride=2, dilation=2, groups=2),
    "depthwise": dict(kernel_size=5, padding=2, groups=6),
    "same": dict(kernel_size=4, padding="same"),
    "valid": dict(kernel_size=4, padding="valid"),
    "reflected": dict(kernel_size=3, padding=1, padding_mode="reflect"),
    "circular": dict(kernel_size=3, padding=1, padding_mode="circular"),
}


def layer(dtype=torch.float64, **kwargs):
    """Build a layer with random statistics, scales and shifts."""
    split = SplitNormConv2d(nn.Conv2d(6, 12, **kwargs)).eval()
    split.norm.running_mean.uniform_(-2, 2)
    split.norm.running_var.uniform_(0.2, 3)
    nn.init.uniform_(split.scale, -2, 2)
    nn.init.uniform_(split.shift, -2, 2)
    return split.to(dtype)


@pytest.mark.parametrize("kwargs", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_the_formula_and_its_fused_form(kwargs):
    split, x = layer(**kwargs), torch.randn(2, 6, 9, 11, dtype=torch.float64)
    mean, var = split.norm.running_mean, split.norm.running_var
    normal = (x - mean[:, None, None]) / (var + split.norm.eps).sqrt()[:, None, None]
    expected = split.conv(normal) * split.scale[:, None, None] + split.shift[:, None, None]
    assert_close(split(x), expected)
    split.switch_to_deploy()
    split.switch_to_deploy()  # idempotent
    assert_close(split(x), expected, rtol=1e-12, atol=1e-12)
    fresh = SplitNormConv2d(nn.Conv2d(6, 12, **kwargs), deploy=True).double()
    fresh.load_state_dict(split.state_dict())
    assert_close(fresh(x), split(x))


@pytest.mark.parametrize(("padding", "subtracts"), [(0, False), (1, True)])
def test_only_a_convolution_padded_with_zeros_subtracts(padding, subtracts):
    split = layer(kernel_size=3, padding=padding)
    split.switch_to_deploy()
    assert ("mean" in split.state_dict()) == subtracts
    assert sorted(name for name, _ in split.named_parameters()) == ["conv.bias", "conv.weight"]


def test_with_the_mean_in_the_bias_alone_the_border_is_wrong():
    split, x = layer(kernel_size=3, padding=1), torch.randn(1, 6, 9, 11, dtype=torch.float64)
    expected = split(x)
    split.switch_to_deploy()
    bias = split.conv.bias - (split.conv.weight.sum((2, 3)) @ split.mean.flatten())
    wrong = F.conv2d(x, split.conv.weight, bias, padding=1)
    inside = (..., slice(1, -1), slice(1, -1))
    assert_close(wrong[inside], expected[inside])
    assert float((wrong - expected).abs().max() / expected.abs().max()) > 0.01


@pytest.mark.parametrize("flip", [False, True])
def test_pixels_are_normalised_by_the_layer_exactly(flip):
    split = SplitNormConv2d(nn.Conv2d(3, 4, 3, 2, 1)).eval().double()
    split.norm.running_mean.uniform_(-1, 1)
    split.switch_to_deploy()
    mean = torch.tensor([123.0, 116.0, 103.0], dtype=torch.float64)
    std = torch.tensor([58.0, 57.0, 56.0], dtype=torch.float64)
    pixels = torch.randint(256, (1, 3, 9, 7)).double()
    ordered = pixels.flip(1) if flip else pixels
    expected = split((ordered - mean[:, None, None]) / std[:, None, None])
    assert split.fold_normalization(mean, std, flip)
    assert_close(split(pixels), expected)


def test_what_can_not_be_folded_is_left():
    mean = std = torch.ones(3, dtype=torch.float64)
    for split in (
        SplitNormConv2d(nn.Conv2d(4, 4, 3, padding=1), deploy=True),
        SplitNormConv2d(nn.Conv2d(3, 4, 3, padding=1), deploy=True).half(),
        SplitNormConv2d(nn.Conv2d(3, 4, 3), deploy=True),
    ):
        before = {name: value.clone() for name, value in split.state_dict().items()}
        assert not split.fold_normalization(mean, std, False)
        assert_close(split.state_dict(), before)


def test_a_batchnorm_with_parameters_is_refused():
    with pytest.raises(UserError, match="expected a BatchNorm with affine=False"):
        SplitNormConv2d(nn.Conv2d(3, 4, 1), nn.BatchNorm2d)


def test_values_that_do_not_fit_are_refused_and_nothing_changes():
    split = layer(torch.float16, kernel_size=3, padding=1)
    split.norm.running_var.fill_(0)
    split.norm.eps = 1e-12
    before = {name: value.clone() for name, value in split.state_dict().items()}
    with pytest.raises(UserError, match="fusion of a split normalisation: values up to"):
        split.switch_to_deploy()
    assert_close(split.state_dict(), before)
