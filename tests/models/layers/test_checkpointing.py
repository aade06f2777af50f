"""Activation checkpointing changes memory and nothing else."""

import torch
from torch import nn
from torch.testing import assert_close

from vanillanet_det.models.layers.checkpointing import checkpoint_once


def test_a_batch_is_counted_once_and_gradients_are_equal():
    x = torch.randn(4, 3, 5, 5)
    results = []
    for recompute in (False, True):
        torch.manual_seed(0)
        layer = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 3, 1))
        y = checkpoint_once(layer, x, norms=layer) if recompute else layer(x)
        y.square().sum().backward()
        results.append((dict(layer.named_buffers()), layer[0].weight.grad))
    assert_close(results[0], results[1])


def test_statistics_are_tracked_again_afterwards():
    layer = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1))
    checkpoint_once(layer, torch.randn(2, 3, 4, 4), norms=layer).sum().backward()
    before = layer[1].running_mean.clone()
    layer(torch.randn(2, 3, 4, 4))
    assert not torch.equal(layer[1].running_mean, before)
    assert layer[1].num_batches_tracked == 2
