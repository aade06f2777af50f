"""bfloat16 training on any device."""

import torch
from mmdet.registry import OPTIM_WRAPPERS
from torch import nn

from vanillanet_det.engine.optimizers import Bf16OptimWrapper


def test_a_step_computes_in_bfloat16_and_updates_float32_weights(device):
    model = nn.Linear(4, 2, device=device)
    before = model.weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    wrapper = OPTIM_WRAPPERS.build(dict(type="Bf16OptimWrapper", optimizer=optimizer))
    assert type(wrapper) is Bf16OptimWrapper
    x = torch.randn(3, 4, device=device)
    with wrapper.optim_context(model):
        y = model(x)
    assert y.dtype == torch.bfloat16
    assert model(x).dtype == torch.float32  # outside of it
    wrapper.update_params(y.float().square().mean())
    assert model.weight.dtype == torch.float32
    assert not torch.equal(model.weight, before)


def test_gradients_are_accumulated_as_in_float32():
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    wrapper = Bf16OptimWrapper(optimizer, accumulative_counts=2)
    wrapper.initialize_count_status(model, 0, 4)
    weights = [model.weight.detach().clone()]
    for _ in range(2):
        with wrapper.optim_context(model):
            loss = model(torch.ones(1, 4)).sum()
        wrapper.update_params(loss)
        weights.append(model.weight.detach().clone())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[2])
