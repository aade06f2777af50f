"""AdamW in one pass: PyTorch's AdamW, up to rounding."""

import pytest
import torch
from mmdet.registry import OPTIMIZERS
from torch import nn
from torch.torch_version import TorchVersion

HAS_KERNEL = TorchVersion(torch.__version__) >= (2, 4)
KINDS = ["AdamW", "FusedAdamW"]


def network():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 2, 1))
    # A bias before a BatchNorm has only rounding as its gradient, which Adam would enlarge to whole
    # steps if it were above its eps.
    return layers.double()


def optimizer(kind, model):
    # Like the groups that MMEngine passes.
    groups = [dict(params=list(layer.parameters()), lr=0.01) for layer in model]
    return OPTIMIZERS.build(dict(type=kind, params=groups, lr=0.1, weight_decay=0.05))


def train(model, optim, steps):
    x = torch.linspace(-1, 1, 2 * 3 * 8 * 8, dtype=torch.float64).reshape(2, 3, 8, 8)
    for _ in range(steps):
        optim.zero_grad()
        (model(x) - 1).square().mean().backward()
        optim.step()


def test_steps_are_those_of_adamw():
    models = [network() for _ in KINDS]
    for kind, model in zip(KINDS, models):
        train(model, optimizer(kind, model), 20)
    before, *_ = network().parameters()
    for a, b in zip(models[0].parameters(), models[1].parameters()):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(before, next(models[1].parameters()), atol=0.05)


def test_the_fused_kernel_is_used_where_there_is_one():
    chosen = optimizer("FusedAdamW", network()).defaults["fused"]
    assert chosen if HAS_KERNEL else not chosen


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("then", KINDS)
def test_training_continues_from_the_state_of_either_kind(first, then):
    whole, parts = network(), network()
    train(whole, optimizer("AdamW", whole), 6)
    optim = optimizer(first, parts)
    train(parts, optim, 3)
    other = optimizer(then, parts)
    fused = other.defaults["fused"]
    other.load_state_dict(optim.state_dict())
    if then == "FusedAdamW":
        assert [group["fused"] for group in other.param_groups] == [fused] * 3
    train(parts, other, 3)
    for a, b in zip(whole.parameters(), parts.parameters()):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
