"""Focal losses, https://arxiv.org/abs/1708.02002, with mmcv's analytic gradients.

If a target is not a class, mmcv's kernels read past the class weights; here, such a row has
weight 1.
"""

import torch
from torch import Tensor

from .registry import op, widen

# Smallest normal float32: mmcv clamps to it before any logarithm, in every type.
_FLT_MIN = torch.finfo(torch.float32).tiny


@op
def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Compute the focal loss of independent classes.

    With `p = sigmoid(input)`, the loss is `-alpha (1 - p)^gamma log p` in the column of the target,
    and `-(1 - alpha) p^gamma log(1 - p)` in the other columns.

    Args:
        input: Logits, shape `(n, classes)`.
        target: Class of each row, int64 of shape `(n,)`; `classes` means background.
        weight: Weight of each target class, shape `(classes,)`, or empty for none.
        output: Filled, shape `(n, classes)`.
        gamma: Exponent of the focusing factor.
        alpha: Weight of the positive term.

    Raises:
        ValueError: A target is larger than the number of classes.
    """
    classes = input.shape[1]
    _check_targets(target, classes)
    p = _sigmoid(input)
    loss = -(1 - alpha) * p**gamma * _log(1 - p)
    rows, columns = _positives(target, classes)
    p = p[rows, columns]
    loss[rows, columns] = -alpha * (1 - p) ** gamma * _log(p)
    output.copy_(loss * _row_weights(weight, target, loss)[:, None])


@op
def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Compute the derivative of `sigmoid_focal_loss_forward` with respect to its input.

    Args:
        input: Logits, shape `(n, classes)`.
        target: Class of each row, int64 of shape `(n,)`; `classes` means background.
        weight: Weight of each target class, shape `(classes,)`, or empty for none.
        grad_input: Filled, shape `(n, classes)`.
        gamma: Exponent of the focusing factor.
        alpha: Weight of the positive term.
    """
    p = _sigmoid(input)
    grad = -(1 - alpha) * p**gamma * (gamma * (1 - p) * _log(1 - p) - p)
    rows, columns = _positives(target, input.shape[1])
    p = p[rows, columns]
    grad[rows, columns] = -alpha * (1 - p) ** gamma * (1 - p - gamma * p * _log(p))
    grad_input.copy_(grad * _row_weights(weight, target, grad)[:, None])


@op
def softmax_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Compute the focal loss of exclusive classes, `-alpha (1 - p)^gamma log p`.

    Args:
        input: Probabilities, not logits, shape `(n, classes)`.
        target: Class of each row, int64 of shape `(n,)`; a row whose target is
            negative or `classes` (background) has no loss.
        weight: Weight of each target class, shape `(classes,)`, or empty for none.
        output: Filled, shape `(n,)`.
        gamma: Exponent of the focusing factor.
        alpha: Weight of the loss.

    Raises:
        ValueError: A target is larger than the number of classes.
    """
    classes = input.shape[1]
    _check_targets(target, classes)
    rows, columns = _positives(target, classes)
    p = widen(input)[rows, columns]
    loss = p.new_zeros(len(input))
    loss[rows] = -alpha * (1 - p) ** gamma * _log(p)
    output.copy_(loss * _row_weights(weight, target, loss))


@op
def softmax_focal_loss_backward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    buff: Tensor,
    grad_input: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Compute the derivative of `softmax_focal_loss_forward` with respect to the logits.

    Args:
        input: Probabilities, not logits, shape `(n, classes)`.
        target: Class of each row, int64 of shape `(n,)`.
        weight: Weight of each target class, shape `(classes,)`, or empty for none.
        buff: Filled with the derivative with respect to the target's `log p`, shape `(n,)`.
        grad_input: Filled, shape `(n, classes)`.
        gamma: Exponent of the focusing factor.
        alpha: Weight of the loss.
    """
    softmax = widen(input)
    rows, columns = _positives(target, softmax.shape[1])
    p = softmax[rows, columns]
    by_log = p.new_zeros(len(softmax))
    by_log[rows] = alpha * (-((1 - p) ** gamma) + gamma * (1 - p) ** (gamma - 1) * p * _log(p))
    by_log = by_log * _row_weights(weight, target, by_log)
    grad = -softmax
    grad[rows, columns] += 1
    buff.copy_(by_log)
    grad_input.copy_(grad * by_log[:, None])


def _check_targets(target: Tensor, classes: int) -> None:
    if target.numel() and int(target.max()) > classes:
        raise ValueError(
            f"focal loss: target {int(target.max())}; expected a class from 0 to "
            f"{classes - 1}, or {classes} for the background"
        )


def _sigmoid(logits: Tensor) -> Tensor:
    # This is mmcv's formula; torch.sigmoid rounds differently if p is nearly 1.
    return 1 / (1 + torch.exp(-widen(logits)))


def _log(p: Tensor) -> Tensor:
    return p.clamp(min=_FLT_MIN).log()


def _positives(target: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Return the rows that have a class, and the column of that class."""
    rows = ((target >= 0) & (target < classes)).nonzero().squeeze(1)
    return rows, target[rows]


def _row_weights(weight: Tensor, target: Tensor, like: Tensor) -> Tensor:
    weights = like.new_ones(len(target))
    if weight.numel():
        rows, columns = _positives(target, len(weight))
        weights[rows] = weight.to(weights.dtype)[columns]
    return weights
