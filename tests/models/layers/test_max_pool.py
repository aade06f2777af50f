"""Max pooling is PyTorch's, and keeps less."""

import pytest
import torch
import torch.fx
from torch.nn import functional as F
from torch.testing import assert_close

from vanillanet_det.models.layers.max_pool import MaxPool


def pooled(pool, x, gradient):
    kept = {}

    def note(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    x = x.detach().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        y = pool(x)
    y.backward(gradient)
    return y, x.grad, sum(kept.values())


@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_and_gradients_are_pytorchs(stride, layout, dtype):
    # Whole numbers, so that some windows have several maxima; sides that leave a rest.
    x = torch.randint(-3, 3, (2, 5, 13, 16)).to(dtype).to(memory_format=layout)
    gradient = torch.randn(2, 5, 13 // stride, 16 // stride).to(dtype).to(memory_format=layout)
    y, found, kept = pooled(MaxPool(stride), x, gradient)
    expected_y, expected, _ = pooled(lambda x: F.max_pool2d(x, stride), x, gradient)
    assert_close(y, expected_y, rtol=0, atol=0)
    assert_close(found, expected, rtol=0, atol=0)
    assert y.is_contiguous(memory_format=layout)
    assert found.is_contiguous(memory_format=layout)
    assert kept == 4 * y.numel()


@pytest.mark.parametrize("stride", [2, 3])
def test_it_is_traced_in_both_modes(stride):
    # add_vanilla_training records networks with torch.fx.
    x = torch.randn(1, 2, 12, 12, requires_grad=True)
    for mode in (True, False):
        traced = torch.fx.symbolic_trace(torch.nn.Sequential(MaxPool(stride)).train(mode))
        assert_close(traced(x), F.max_pool2d(x, stride))


def test_nothing_is_kept_without_gradients():
    with torch.no_grad():
        y = MaxPool(2)(torch.randn(1, 2, 4, 4, requires_grad=True))
    assert y.grad_fn is None
