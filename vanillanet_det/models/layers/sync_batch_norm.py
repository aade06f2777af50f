"""Synchronised BatchNorm for processes without an accelerator."""

from typing import Any, Optional

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_DIMS = (0, 2, 3)  # all but the channels


class CPUSyncBatchNorm(nn.BatchNorm2d):
    """SyncBatchNorm for tensors on the CPU, which PyTorch's SyncBatchNorm doesn't support.

    In training with several ranks, the mean, the variance and the running statistics are computed
    across the values of all ranks; batch sizes may differ across ranks. Otherwise, the layer
    behaves like its base class.

    It doesn't derive from `torch.nn.SyncBatchNorm`, because DistributedDataParallel doesn't wrap
    such layers on the CPU.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise a tensor of shape (N, C, H, W).

        Raises:
            ValueError: All ranks together have at most one value per channel.
        """
        if not self.training or not torch.distributed.is_initialized():
            return super().forward(x)
        self._check_input_dim(x)
        y, mean, var, count = _SyncBatchNorm.apply(x, self.weight, self.bias, self.eps)
        if self.track_running_stats:
            self._track(mean, var * (count / (count - 1)))
        return y

    @torch.no_grad()
    def _track(self, mean: Tensor, unbiased_var: Tensor) -> None:
        self.num_batches_tracked.add_(1)
        # if momentum is None: the mean over all batches so far
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean), share)
        self.running_var.lerp_(unbiased_var.to(self.running_var), share)


class _SyncBatchNorm(torch.autograd.Function):
    """Normalise with the statistics of all ranks, with one collective per pass."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Optional[Tensor],
        bias: Optional[Tensor],
        eps: float,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        values = x.to(torch.promote_types(x.dtype, torch.float32))
        mean, var, count = _global_statistics(values)
        ctx.save_for_backward(x, weight, mean, var, count)
        ctx.eps = eps
        y = F.batch_norm(values, mean, var, weight, bias, training=False, eps=eps).to(x.dtype)
        ctx.mark_non_differentiable(mean, var, count)
        return y, mean, var, count

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Optional[Tensor], ...]:
        x, weight, mean, var, count = ctx.saved_tensors
        grad_y = grad.to(mean.dtype)
        channels = (1, -1, 1, 1)
        inv_std = (var + ctx.eps).rsqrt()
        normalised = (x.to(mean.dtype) - mean.view(channels)) * inv_std.view(channels)
        # Only this rank's gradients: DistributedDataParallel averages them across ranks.
        grad_bias, grad_weight = grad_y.sum(_DIMS), (grad_y * normalised).sum(_DIMS)
        sums = torch.stack([grad_bias, grad_weight])
        torch.distributed.all_reduce(sums)
        of_mean, of_scale = (part.view(channels) for part in sums / count)
        scale = inv_std if weight is None else inv_std * weight
        grad_x = (grad_y - of_mean - normalised * of_scale) * scale.view(channels)
        if weight is None:
            return grad_x.to(x.dtype), None, None, None
        return grad_x.to(x.dtype), grad_weight.to(weight), grad_bias.to(weight), None


def _global_statistics(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the mean and biased variance across ranks, each of shape (C,), and the count."""
    channels = values.shape[1]
    own_count = values.numel() // channels
    if own_count:
        var, mean = torch.var_mean(values, _DIMS, correction=0)
    else:
        var, mean = values.new_zeros(2, channels)
    # Use float64 and deviations from the mean: differences of large squares would lose a small
    # variance.
    own = torch.cat([mean, var, mean.new_tensor([own_count])]).double()
    ranks = [torch.empty_like(own) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(ranks, own)
    means, variances, counts = torch.stack(ranks).split([channels, channels, 1], dim=1)
    count = counts.sum()
    if count <= 1:
        raise ValueError(
            f"CPUSyncBatchNorm: {count:.0f} values per channel across all ranks; expected "
            "at least 2 in training; use larger images or batches"
        )
    shares = counts / count
    mean = (shares * means).sum(0)
    var = (shares * (variances + (means - mean).square())).sum(0)
    return mean.to(values), var.to(values), count.to(values)
