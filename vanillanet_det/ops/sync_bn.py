"""The parts of `mmcv.ops.SyncBatchNorm` (`MMSyncBN`) between which it synchronises processes.

https://arxiv.org/abs/1502.03167, algorithm 1. Statistics are float32 in any precision of the input.
"""

from torch import Tensor

from .registry import op


@op
def sync_bn_forward_mean(input: Tensor, mean: Tensor) -> None:
    """Compute the mean of each channel in this process.

    Args:
        input: Shape `(n, channels, pixels)`.
        mean: Filled, float32 of shape `(channels,)`.
    """
    mean.copy_(input.float().mean((0, 2)))


@op
def sync_bn_forward_var(input: Tensor, mean: Tensor, var: Tensor) -> None:
    """Compute the mean square distance of each channel from the mean of all processes.

    Args:
        input: Shape `(n, channels, pixels)`.
        mean: Mean of all processes, float32 of shape `(channels,)`.
        var: Filled, float32 of shape `(channels,)`.
    """
    var.copy_((input.float() - mean[:, None]).square().mean((0, 2)))


@op
def sync_bn_forward_output(
    input: Tensor,
    mean: Tensor,
    var: Tensor,
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    norm: Tensor,
    std: Tensor,
    output: Tensor,
    eps: float,
    momentum: float,
    group_size: int,
) -> None:
    """Normalise the input, and update the running statistics.

    Args:
        input: Shape `(n, channels, pixels)`.
        mean: Mean of all processes, float32 of shape `(channels,)`.
        var: Biased variance of all processes, float32 of shape `(channels,)`.
        weight: Shape `(channels,)`.
        bias: Shape `(channels,)`.
        running_mean: Updated, shape `(channels,)`.
        running_var: Updated with the unbiased variance, shape `(channels,)`. As in mmcv, all
            processes count as having as many values as this one.
        norm: Filled with the input before weight and bias, float32 of the shape of `input`.
        std: Filled with the standard deviation, float32 of shape `(channels,)`.
        output: Filled, shape of `input`.
        eps: Added to the variance.
        momentum: Weight of the new statistics, from 0 to 1.
        group_size: Number of processes.
    """
    std.copy_((var + eps).sqrt())
    norm.copy_((input - mean[:, None]) / std[:, None])
    output.copy_(norm * weight[:, None] + bias[:, None])
    count = input.shape[0] * input.shape[2] * group_size
    unbiased = var * count / (count - 1) if count > 1 else var
    for running, new in ((running_mean, mean), (running_var, unbiased)):
        running.copy_(momentum * new + (1 - momentum) * running)


@op
def sync_bn_backward_param(
    grad_output: Tensor, norm: Tensor, grad_weight: Tensor, grad_bias: Tensor
) -> None:
    """Compute the derivatives with respect to weight and bias in this process.

    Args:
        grad_output: Shape `(n, channels, pixels)`.
        norm: As filled by `sync_bn_forward_output`.
        grad_weight: Filled, shape `(channels,)`.
        grad_bias: Filled, shape `(channels,)`.
    """
    grad = grad_output.float()
    grad_weight.copy_((grad * norm).sum((0, 2)))
    grad_bias.copy_(grad.sum((0, 2)))


@op
def sync_bn_backward_data(
    grad_output: Tensor,
    weight: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    norm: Tensor,
    std: Tensor,
    grad_input: Tensor,
) -> None:
    """Compute the derivative with respect to the input.

    Args:
        grad_output: Shape `(n, channels, pixels)`.
        weight: Shape `(channels,)`.
        grad_weight: Mean over processes of `sync_bn_backward_param`, shape `(channels,)`.
        grad_bias: Mean over processes of `sync_bn_backward_param`, shape `(channels,)`.
        norm: As filled by `sync_bn_forward_output`.
        std: As filled by `sync_bn_forward_output`.
        grad_input: Filled, shape of `grad_output`.
    """
    count = grad_output.shape[0] * grad_output.shape[2]
    common = (grad_weight[:, None] * norm + grad_bias[:, None]) / count
    grad_input.copy_((weight / std)[:, None] * (grad_output - common))
