"""Ops of detectors go through `torch.export`, and give the same results afterwards."""

import pytest
import torch
import torch.export
from mmcv import ops
from torch import nn
from torch.testing import assert_close

# PyTorch 2.1 has no `Dim`.
ANY = getattr(getattr(torch.export, "Dim", None), "DYNAMIC", None)
pytestmark = pytest.mark.skipif(ANY is None, reason="needs PyTorch 2.6's exporter")


class Module(nn.Module):
    """A function, which `torch.export` doesn't take."""

    def __init__(self, function, *layers):
        super().__init__()
        self.function, self.layers = function, nn.ModuleList(layers)

    def forward(self, *tensors):
        return self.function(*tensors)


def check(function, *tensors, strict=False, dynamic=None, others=()):
    """Export a function, and compare it on the tensors and on `others` of its dynamic sizes."""
    module = function if isinstance(function, nn.Module) else Module(function)
    shapes = None if dynamic is None else (dynamic,)
    with torch.no_grad():
        program = torch.export.export(
            module.eval(), tensors, dynamic_shapes=shapes, strict=strict
        ).module()
        for inputs in (tensors, *others):
            assert_close(program(*inputs), module(*inputs))


def features(n=2, h=16, w=20):
    return torch.randn(n, 4, h, w)


def candidates(count=6):
    corners = 10 * torch.rand(count, 2)
    boxes = torch.cat([corners, corners + 5 + torch.rand(count, 2)], 1)
    return boxes, torch.rand(count), torch.arange(count) % 2


def pool_likely(pool):
    """A function that pools the likely boxes, whose number is unknown when exporting."""

    def function(x, boxes, scores):
        boxes = boxes[scores > 0.5]
        return pool(x, torch.cat([boxes.new_zeros(boxes.shape[0], 1), boxes], 1))

    return Module(function)


def deform_pool(x, rois):
    offset = 0.1 * rois[:, 1:3, None, None].expand(-1, -1, 3, 3)
    return ops.deform_roi_pool(x, rois, offset, (3, 3), 0.5, 2, 0.1)


POOLS = {
    "roi_align": lambda x, rois: ops.roi_align(x, rois, (3, 3), 0.5, 2, "avg", True),
    "adaptive roi_align": lambda x, rois: ops.roi_align(x, rois, (3, 3), 0.5, 0, "avg", True),
    "max roi_align": lambda x, rois: ops.roi_align(x, rois, (3, 3), 0.5, 2, "max", True),
    "deform_roi_pool": deform_pool,
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pool", "strict"), [*((pool, False) for pool in POOLS), ("roi_align", True)]
)
def test_pooling_any_number_of_boxes(pool, strict, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    boxes, scores, _ = candidates(40)
    check(
        pool_likely(POOLS[pool]),
        *(features(), boxes, scores),
        strict=strict,
        dynamic=({0: ANY, 2: ANY, 3: ANY}, {0: ANY}, {0: ANY}),
        others=[
            (features(3, 12, 9), boxes, scores),
            (features(), boxes[:3], torch.tensor([0.0, 0.8, 0.1])),
            (features(), boxes, 0 * scores),
        ],
    )


def test_pooling():
    boxes, scores, _ = candidates()
    check(pool_likely(POOLS["roi_align"]), features(), boxes, scores)


def test_nms():
    def function(boxes, scores):
        return ops.nms(boxes, scores, 0.5, score_threshold=0.1, max_num=20)

    inputs = [candidates(count)[:2] for count in (6, 50)]
    check(function, *inputs[0], dynamic=({0: ANY},) * 2, others=inputs[1:])


def test_batched_nms():
    def function(boxes, scores, labels):
        return ops.batched_nms(boxes, scores, labels, dict(type="nms", iou_threshold=0.5))

    check(function, *candidates(), dynamic=({0: ANY},) * 3, others=[candidates(30)])


@pytest.mark.parametrize("layer", [ops.DeformConv2dPack, ops.ModulatedDeformConv2dPack])
def test_deform_conv(layer):
    layer = layer(4, 6, 3, padding=1)
    nn.init.normal_(layer.conv_offset.weight, std=0.1)
    check(layer, features())


@pytest.mark.parametrize("layer", [ops.DeformConv2dPack, ops.ModulatedDeformConv2dPack])
@pytest.mark.slow
def test_deform_conv_of_any_size(layer):
    # Without `strict`, mmcv's own code takes the sizes as constants.
    layer = layer(4, 6, 3, padding=1)
    sizes = ({0: ANY, 2: ANY, 3: ANY},)
    module = Module(lambda x: layer(x), layer)
    check(module, features(), strict=True, dynamic=sizes, others=[(features(3, 12, 9),)])


@pytest.mark.slow
def test_carafe():
    layer = ops.CARAFEPack(4, 2, up_kernel=3)
    module = Module(lambda x: layer(x), layer)
    check(module, features(), dynamic=({0: ANY, 2: ANY, 3: ANY},), others=[(features(3, 12, 9),)])


def test_multi_scale_attention():
    shapes, starts = torch.tensor([[4, 5], [2, 3]]), torch.tensor([0, 20])
    forward = ops.multi_scale_deform_attn.MultiScaleDeformableAttnFunction.apply

    def function(value, locations, weights):
        return forward(value, shapes, starts, locations, weights, 64)

    sizes = [torch.rand(2, queries, 3, 2, 2, 2) for queries in (5, 7)]
    inputs = [(torch.randn(2, 26, 3, 4), size, torch.rand(size.shape[:-1])) for size in sizes]
    check(function, *inputs[0], dynamic=({}, {1: ANY}, {1: ANY}), others=inputs[1:])
