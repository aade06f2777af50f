import math

import pytest
import torch
from mmcv import ops
from torch.testing import assert_close

from vanillanet_det.ops import OPS

FLT_MIN = 1.1754943508222875e-38
TARGET = torch.tensor([0, 3, 4, 2, 2, -1])  # 4 is the background, -1 an ignored row


def log(p):
    return math.log(max(p, FLT_MIN))


def slow_sigmoid(logits, target, gamma, alpha, weight=None):
    loss = torch.zeros_like(logits)
    for n, t in enumerate(target.tolist()):
        for c in range(logits.shape[1]):
            p = 1 / (1 + math.exp(-logits[n, c].item()))
            if t == c:
                value = -alpha * (1 - p) ** gamma * log(p)
            else:
                value = -(1 - alpha) * p**gamma * log(1 - p)
            loss[n, c] = value * (weight[t] if weight is not None and 0 <= t < 4 else 1)
    return loss


def slow_softmax(logits, target, gamma, alpha, weight=None):
    loss = torch.zeros(len(logits), dtype=logits.dtype)
    for n, t in enumerate(target.tolist()):
        if 0 <= t < logits.shape[1]:
            p = logits[n].softmax(0)[t].item()
            loss[n] = -alpha * (1 - p) ** gamma * log(p)
            loss[n] *= 1 if weight is None else weight[t]
    return loss


@pytest.mark.parametrize(
    ("function", "slow"),
    [(ops.sigmoid_focal_loss, slow_sigmoid), (ops.softmax_focal_loss, slow_softmax)],
)
@pytest.mark.parametrize("weight", [None, [0.5, 2.0, 3.0, 0.1]])
@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, 0.25), (1.5, 0.6), (1.0, 1.0)])
class TestBoth:
    def test_values(self, function, slow, weight, gamma, alpha, device):
        logits = torch.randn(6, 4, dtype=torch.float64) * 3
        tensor = None if weight is None else torch.tensor(weight, device=device).double()
        loss = function(logits.to(device), TARGET.to(device), gamma, alpha, tensor, "none")
        assert_close(loss.cpu(), slow(logits, TARGET, gamma, alpha, weight), rtol=1e-6, atol=1e-7)

    def test_gradients_are_derivatives(self, function, slow, weight, gamma, alpha, device):
        logits = torch.randn(6, 4, dtype=torch.float64, device=device, requires_grad=True)
        tensor = None if weight is None else torch.tensor(weight, device=device).double()

        def loss(logits):
            return function(logits, TARGET.to(device), gamma, alpha, tensor, "sum")

        assert torch.autograd.gradcheck(loss, (logits,), check_undefined_grad=False)


def test_mean_is_over_rows():
    logits = torch.randn(6, 4)
    loss = ops.sigmoid_focal_loss(logits, TARGET, 2.0, 0.25, None, "mean")
    assert_close(loss, ops.sigmoid_focal_loss(logits, TARGET, 2.0, 0.25, None, "sum") / 6)


def test_sigmoid_saturated_logits_are_clamped():
    logits = torch.tensor([[-200.0, 200.0]], requires_grad=True)
    loss = ops.sigmoid_focal_loss(logits, torch.tensor([0]), 2.0, 0.25, None, "none")
    assert_close(loss, torch.tensor([[-0.25, -0.75]]) * log(0))
    (grad,) = torch.autograd.grad(loss.sum(), logits)
    assert_close(grad, torch.tensor([[-0.25, 0.75]]))


def test_softmax_saturated_logits_are_clamped():
    logits = torch.tensor([[-200.0, 200.0]], requires_grad=True)
    loss = ops.softmax_focal_loss(logits, torch.tensor([0]), 2.0, 0.25, None, "none")
    assert_close(loss, -0.25 * torch.tensor([log(0)]))
    (grad,) = torch.autograd.grad(loss.sum(), logits)
    assert_close(grad, torch.tensor([[-0.25, 0.25]]))


def test_softmax_backward_fills_its_buffer():
    softmax = torch.tensor([[0.7, 0.3], [0.4, 0.6]])
    buff, grad = torch.ones(2), torch.ones(2, 2)
    OPS["softmax_focal_loss_backward"](
        softmax, torch.tensor([1, 2]), torch.empty(0), buff, grad, 2.0, 0.5
    )
    expected = 0.5 * (-(0.7**2) + 2 * 0.7 * 0.3 * math.log(0.3))
    assert_close(buff, torch.tensor([expected, 0.0]))
    assert_close(grad, torch.tensor([[-0.7 * expected, 0.7 * expected], [0.0, 0.0]]))


@pytest.mark.parametrize("function", [ops.sigmoid_focal_loss, ops.softmax_focal_loss])
def test_a_target_past_the_background_is_refused(function):
    with pytest.raises(
        ValueError, match=r"target 5; expected a class from 0 to 3, or 4 for the background"
    ):
        function(torch.randn(2, 4), torch.tensor([1, 5]))


@pytest.mark.parametrize("function", [ops.sigmoid_focal_loss, ops.softmax_focal_loss])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(function, dtype, device):
    logits = torch.randn(6, 4).to(dtype)
    low, wide = logits.to(device).requires_grad_(), logits.float().requires_grad_()
    loss = function(low, TARGET.to(device), 2.0, 0.25, None, "none")
    expected = function(wide, TARGET, 2.0, 0.25, None, "none")
    assert loss.dtype == dtype
    # mmcv's wrapper takes the softmax in the type of the logits.
    tolerance = {"rtol": 0.05, "atol": 0.02 if dtype == torch.bfloat16 else 0.002}
    assert_close(loss.cpu().float(), expected, **tolerance)
    if function is ops.sigmoid_focal_loss:
        (grad,) = torch.autograd.grad(loss.sum(), low)
        (exact,) = torch.autograd.grad(expected.sum(), wide)
        assert grad.dtype == dtype
        assert_close(grad.cpu().float(), exact, **tolerance)


@pytest.mark.parametrize("function", [ops.sigmoid_focal_loss, ops.softmax_focal_loss])
def test_no_rows(function, device):
    logits = torch.zeros(0, 4, device=device, requires_grad=True)
    target = torch.zeros(0, dtype=torch.long, device=device)
    loss = function(logits, target, 2.0, 0.25, None, "sum")
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.shape == (0, 4)
