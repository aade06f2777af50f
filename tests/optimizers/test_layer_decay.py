"""Layer-wise learning rates of the published detection recipe."""

import pytest
from mmengine.optim import build_optim_wrapper
from torch import nn

from vanillanet_det import UserError, VanillaNet
from vanillanet_det.optimizers import layer_decay

LR, DECAY = 1e-2, 0.05


class Detector(nn.Module):
    def __init__(self, backbone=None, **kwargs):
        super().__init__()
        arch = dict(dims=[4] * 10, strides=[1, 1, 2, 1, 1, 1, 1, 1, 2])
        self.backbone = backbone or VanillaNet(arch, **kwargs)
        self.neck = nn.Conv2d(4, 4, 1)
        self.tied = self.neck  # named twice


def build(model, optimizer=None, **kwargs):
    cfg = dict(
        type="OptimWrapper",
        optimizer=optimizer or dict(type="AdamW", lr=LR, weight_decay=DECAY),
        constructor="VanillaNetLayerDecay",
        **kwargs,
    )
    return build_optim_wrapper(model, cfg).optimizer


def by_name(model, optimizer):
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        names[id(parameter)]: group
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("backbone.stem1.0.weight", 0),
        ("backbone.stem2.2.weight", 0),
        ("backbone.stem.0.bias", 0),
        *((f"backbone.stages.{s}.conv1.0.weight", s // 2 + 1) for s in range(9)),
        ("backbone.stages.10.act.weight", 6),
        ("backbone.stages.12.act.weight", 6),
        ("neck.lateral_convs.0.conv.weight", 7),
        ("bbox_head.stages.0.weight", 7),
    ],
)
def test_layer_ids(name, layer):
    assert layer_decay.vanillanet_layer_id(name, 6) == layer


@pytest.mark.parametrize(
    "kwargs", [{}, dict(paramwise_cfg=None), dict(paramwise_cfg=dict(num_layers=6, decay_rate=0.6))]
)
def test_every_layer_has_its_learning_rate_and_only_kernels_decay(mmdet_scope, kwargs):
    model = Detector()
    groups = by_name(model, build(model, **kwargs))
    parameters = dict(model.named_parameters())
    assert groups.keys() == parameters.keys()
    for name, group in groups.items():
        layer = layer_decay.vanillanet_layer_id(name, 6)
        assert group["lr"] == pytest.approx(LR * 0.6 ** (7 - layer))
        assert group["weight_decay"] == (DECAY if parameters[name].ndim > 1 else 0)
    assert groups["neck.weight"]["lr"] == LR
    assert groups["backbone.stem1.0.weight"]["lr"] == pytest.approx(LR * 0.6**7)


def test_other_numbers_are_taken(mmdet_scope):
    model = Detector()
    groups = by_name(model, build(model, paramwise_cfg=dict(num_layers=2, decay_rate=0.5)))
    assert groups["backbone.stages.8.conv1.0.weight"]["lr"] == LR / 2
    assert groups["backbone.stages.0.conv1.0.weight"]["lr"] == LR / 4
    assert groups["backbone.stem1.0.weight"]["lr"] == LR / 8


def test_each_trainable_parameter_is_in_one_group_and_frozen_ones_in_none(mmdet_scope):
    model = Detector(frozen_stages=2).train()
    inside = [p for group in build(model).param_groups for p in group["params"]]
    trainable = [p for p in model.parameters() if p.requires_grad]
    assert len(inside) == len(trainable) < len(list(model.parameters()))
    assert {*map(id, inside)} == {*map(id, trainable)}


def test_without_a_weight_decay_the_optimizers_own_holds(mmdet_scope):
    model = Detector()
    groups = by_name(model, build(model, dict(type="AdamW", lr=LR)))
    assert groups["neck.weight"]["weight_decay"] == 0.01
    assert groups["neck.bias"]["weight_decay"] == 0


def test_an_optimizer_without_learning_rate_is_refused(mmdet_scope):
    with pytest.raises(UserError, match="has no lr but expected one to scale"):
        build(Detector(), dict(type="AdamW"))


def test_another_backbone_is_refused(mmdet_scope):
    with pytest.raises(UserError, match="the backbone is Conv2d but expected VanillaNet"):
        build(Detector(nn.Conv2d(3, 4, 1)))


def test_a_detector_in_a_wrapper_is_unpacked(mmdet_scope):
    model = Detector()
    assert by_name(model, build(nn.ModuleDict({"module": model})["module"])).keys()
    assert (
        by_name(model, build(nn.DataParallel(model))).keys() == by_name(model, build(model)).keys()
    )
