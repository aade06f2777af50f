"""Fusion is exact algebra, or it refuses."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from vanillanet_det import UserError, switch_to_deploy
from vanillanet_det.models.layers.fusion import (
    bn_scale_shift,
    fuse_conv_bn,
    fuse_pointwise,
    fused_conv,
)


def norm(kind, randomize_norms, channels=6, **kwargs):
    return randomize_norms(kind(channels, eps=0.1, **kwargs)).eval()


@pytest.mark.parametrize("kind", [nn.BatchNorm2d, nn.SyncBatchNorm])
def test_conv_and_batchnorm_become_one_conv(kind, randomize_norms):
    conv, bn, x = (
        nn.Conv2d(3, 6, 4, stride=4),
        norm(kind, randomize_norms),
        torch.randn(2, 3, 16, 24),
    )
    fused = fused_conv(conv, *fuse_conv_bn(conv.weight, conv.bias, bn))
    assert_close(fused(x), bn(conv(x)), rtol=1e-5, atol=1e-5)


def test_a_convolution_without_bias_gains_one(randomize_norms):
    conv, bn = nn.Conv2d(3, 6, 1, bias=False), norm(nn.BatchNorm2d, randomize_norms)
    x = torch.randn(1, 3, 5, 5)
    fused = fused_conv(conv, *fuse_conv_bn(conv.weight, conv.bias, bn))
    assert_close(fused(x), bn(conv(x)), rtol=1e-5, atol=1e-5)


def test_a_pointwise_conv_is_contracted_with_the_one_before():
    first, second = nn.Conv2d(3, 6, 4, stride=3, padding=1), nn.Conv2d(6, 5, 1)
    x = torch.randn(2, 3, 14, 17)
    pair = [(conv.weight.double(), conv.bias.double()) for conv in (first, second)]
    fused = fused_conv(first, *fuse_pointwise(*pair))
    assert_close(fused(x), second(first(x)), rtol=1e-5, atol=1e-5)


def test_kernels_are_contiguous_whatever_the_layout_before():
    first, second = nn.Conv2d(3, 6, 4), nn.Conv2d(6, 5, 1)
    first.to(memory_format=torch.channels_last)
    pair = [(conv.weight.double(), conv.bias.double()) for conv in (first, second)]
    assert fused_conv(first, *fuse_pointwise(*pair)).weight.is_contiguous()


def test_the_algebra_is_in_float64(randomize_norms):
    # In float32 the two factors would be rounded before they are multiplied.
    conv, bn = nn.Conv2d(64, 6, 1), norm(nn.BatchNorm2d, randomize_norms)
    weight, bias = fuse_conv_bn(conv.weight, conv.bias, bn)
    exact = bn.double()(conv.double()(torch.eye(64).double()[..., None, None]))
    assert weight.dtype == bias.dtype == torch.float64
    assert_close(weight.flatten(1).T + bias, exact.flatten(1), rtol=1e-13, atol=1e-13)


def test_batchnorm_without_affine_parameters(randomize_norms):
    bn = nn.BatchNorm2d(6, affine=False).eval()
    bn.running_mean.normal_()
    x = torch.randn(1, 6, 2, 2)
    scale, shift = (t.float()[:, None, None] for t in bn_scale_shift(bn))
    assert_close(x * scale + shift, bn(x))


def test_batchnorm_without_running_statistics_is_refused():
    with pytest.raises(UserError, match="BatchNorm2d has no running statistics"):
        bn_scale_shift(nn.BatchNorm2d(6, track_running_stats=False))


class Fusable(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(1, 1)
        self.calls = 0

    def switch_to_deploy(self):
        self.calls += 1


def test_switch_to_deploy_copies_and_finds_what_can_be_fused():
    outer = Fusable()
    outer.inner = Fusable()  # the topmost answers for what is below
    model = nn.Sequential(nn.Linear(1, 1), nn.Sequential(outer, Fusable()))
    fused = switch_to_deploy(model)
    assert [fused[1][0].calls, fused[1][0].inner.calls, fused[1][1].calls] == [1, 0, 1]
    assert model[1][0].calls == 0
    assert switch_to_deploy(model, inplace=True) is model
    assert model[1][0].calls == 1
