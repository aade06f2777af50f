"""Operators that mmcv-lite lacks, on a device and on the CPU."""

from typing import Callable

import torch
from mmcv import ops
from mmcv.ops import multi_scale_deform_attn as attention
from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss
from torch import Tensor

from ..models.deploy import relative_error
from .outcome import Finding

ALLOWED = 1e-4  # sums in another order, in float32
_SIZE = (2, 8, 24, 32)


def check_operators(device: torch.device) -> Finding:
    """Compare results and gradients of NMS, RoIAlign, deformable ops and the focal loss.

    Args:
        device: Device to compare with the CPU.

    Raises:
        RuntimeError: NMS keeps other boxes.
    """
    generator = torch.Generator().manual_seed(0)
    errors = [
        relative_error(_results(run, inputs, device), _results(expect, inputs, torch.device("cpu")))
        for run, expect, inputs in _cases(generator)
    ]
    boxes, scores = _boxes(300, generator), torch.rand(300, generator=generator)
    kept = ops.nms(boxes.to(device), scores.to(device), 0.5)[1].tolist()
    if kept != ops.nms(boxes, scores, 0.5)[1].tolist():
        raise RuntimeError("NMS keeps other boxes than on the CPU")
    # Not max(), which may pass over a NaN.
    return Finding(torch.tensor(errors).max().item(), ALLOWED)


Function = Callable[..., Tensor]


def _cases(generator: torch.Generator) -> list[tuple[Function, Function, list[Tensor]]]:
    """List operators, what they are compared with on the CPU, and inputs."""

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    height, width = _SIZE[2:]
    images = torch.randint(0, 2, (20, 1), generator=generator).float()
    regions = torch.cat([images, _boxes(20, generator, (4 * height, 4 * width))], 1)
    labels = torch.randint(0, 5, (60,), generator=generator)
    levels = torch.tensor([[16, 16], [8, 8]])
    starts = torch.tensor([0, 256])
    places = torch.rand(2, 50, 4, 2, 3, 2, generator=generator)
    shares = torch.rand(2, 50, 4, 2, 3, generator=generator)

    def roi_align(features: Tensor) -> Tensor:
        return ops.roi_align(features, regions.to(features), 7, 0.25, 0, "avg", True)

    def deform(features: Tensor, offsets: Tensor, masks: Tensor, weights: Tensor) -> Tensor:
        bias = torch.zeros(len(weights)).to(weights)
        return ops.modulated_deform_conv2d(
            features, offsets, masks.sigmoid(), weights, bias, 1, 1, 1, 1, 1
        )

    def focal(scores: Tensor) -> Tensor:
        return ops.sigmoid_focal_loss(scores, labels.to(scores.device), 2.0, 0.25, None, "none")

    def expected_focal(scores: Tensor) -> Tensor:
        hot = torch.nn.functional.one_hot(labels, 6)[:, :5].to(scores)
        return py_sigmoid_focal_loss(scores, hot, reduction="none")

    def attend(values: Tensor, places: Tensor, shares: Tensor) -> Tensor:
        on = values.device
        return attention.MultiScaleDeformableAttnFunction.apply(
            values, levels.to(on), starts.to(on), places, shares, 64
        )

    def expected_attend(values: Tensor, places: Tensor, shares: Tensor) -> Tensor:
        return attention.multi_scale_deformable_attn_pytorch(values, levels, places, shares)

    kernels = random(16, 8, 3, 3)
    offsets, masks = random(2, 18, height, width), random(2, 9, height, width)
    return [
        (roi_align, roi_align, [random(*_SIZE)]),
        (deform, deform, [random(*_SIZE), offsets, masks, kernels]),
        (focal, expected_focal, [random(60, 5)]),
        (attend, expected_attend, [random(2, 320, 4, 8), places, shares]),
    ]


def _results(function: Function, inputs: list[Tensor], device: torch.device) -> list[Tensor]:
    """Return the result and the gradients of the inputs, on the CPU."""
    inputs = [tensor.detach().to(device).requires_grad_() for tensor in inputs]
    result = function(*inputs)
    weights = torch.linspace(-1, 1, result.numel()).view(result.shape)
    (result * weights.to(device)).sum().backward()
    return [tensor.detach().cpu() for tensor in (result, *(x.grad for x in inputs))]


def _boxes(count: int, generator: torch.Generator, size: tuple[int, int] = (400, 400)) -> Tensor:
    height, width = size
    scale = torch.tensor([width, height], dtype=torch.float32)
    corners = torch.rand(count, 2, generator=generator) * scale * 0.7
    return torch.cat([corners, corners + torch.rand(count, 2, generator=generator) * scale / 3], 1)
