"""Layer-wise learning rates of the published detection recipe."""

import math
from pathlib import Path

import pytest
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from torch import nn

from vanillanet_det import UserError, VanillaNet
from vanillanet_det.analysis.meta import build_on_meta
from vanillanet_det.engine.optimizers.layer_decay import layer_ids

LR, DECAY = 1e-2, 0.05
COCO = sorted((Path(__file__).parents[3] / "configs").glob("*_coco.py"))


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
        constructor="LayerDecay",
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


STAGES = 13


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("stem1.0.weight", 0),
        ("stem2.2.weight", 0),
        *((f"stages.{s}.conv1.0.weight", min(s // 2 + 1, 6)) for s in range(STAGES)),
        ("stages.10.act.weight", 6),
        ("stages.12.act.weight", 6),
    ],
)
def test_layer_ids_of_vanillanet(name, layer):
    backbone = VanillaNet(dict(dims=[4] * (STAGES + 1), strides=[1] * STAGES))
    assert layer_ids(backbone, 6)[name] == layer


# The published ids of VanillaNet-13's stages, from 0: two stages a layer, and the last one alone.
PUBLISHED = dict(enumerate([1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6]))


@pytest.mark.parametrize(("detector", "lr"), [("retinanet", 8e-5), ("mask_rcnn", 1.3e-4)])
def test_vanillanet13_trains_as_published(detector, lr, mmdet_scope, root):
    cfg = Config.fromfile(root / f"configs/{detector}_vanillanet13_coco.py")
    model = build_on_meta(cfg.model)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    groups = by_name(model, optimizer)
    assert groups.keys() == dict(model.named_parameters()).keys()
    for name, parameter in model.named_parameters():
        part, _, rest = name.partition(".")
        id = 7
        if part == "backbone":
            id = PUBLISHED[int(rest.split(".")[1])] if rest.startswith("stages.") else 0
        assert groups[name]["lr"] == pytest.approx(lr * 0.6 ** (7 - id)), name
        one_dimensional = len(parameter.shape) == 1
        assert groups[name]["weight_decay"] == (0 if one_dimensional else 0.05), name
        assert groups[name]["betas"] == (0.9, 0.999)
    # Each of the 8 ids once with weight decay and once without.
    assert len(optimizer.param_groups) == 16


# Of blocks numbered through from 0, block b of B is in layer 1 + 6 b // B.
PEERS = {
    "resnet50": {  # 3, 4, 6 and 3 blocks; the stem and layer1 are frozen
        "layer2.0.conv1.weight": 1 + 6 * 3 // 16,
        "layer2.0.downsample.0.weight": 2,
        "layer2.0.bn1.bias": 2,
        "layer3.5.conv3.weight": 1 + 6 * 12 // 16,
        "layer4.2.conv3.weight": 6,
    },
    "swin_tiny": {  # 2, 2, 6 and 2 blocks, so two to a layer
        "patch_embed.projection.weight": 0,
        "patch_embed.norm.weight": 0,
        "stages.0.blocks.1.attn.w_msa.relative_position_bias_table": 1,
        "stages.0.downsample.reduction.weight": 2,
        "stages.0.downsample.norm.weight": 2,
        "stages.2.blocks.3.ffn.layers.1.weight": 4,
        "stages.2.downsample.reduction.weight": 6,
        "stages.3.blocks.1.ffn.layers.1.bias": 6,
        "norm3.weight": 7,
    },
    "convnextv2_nano": {  # 2, 2, 8 and 2 blocks
        "model.stem_0.weight": 0,
        "model.stem_1.weight": 0,
        "model.stages_0.blocks.1.mlp.grn.weight": 1 + 6 * 1 // 14,
        "model.stages_1.downsample.1.weight": 1 + 6 * 2 // 14,
        "model.stages_2.downsample.1.weight": 1 + 6 * 4 // 14,
        "model.stages_2.blocks.7.conv_dw.weight": 1 + 6 * 11 // 14,
        "model.stages_3.downsample.1.weight": 1 + 6 * 12 // 14,
        "model.stages_3.blocks.1.mlp.fc2.weight": 6,
    },
}


@pytest.mark.parametrize("peer", PEERS)
def test_blocks_of_peers_are_spread_over_the_layers(peer, mmdet_scope, root):
    cfg = Config.fromfile(root / f"configs/mask_rcnn_{peer}_coco.py")
    model = build_on_meta(cfg.model)
    groups = by_name(model, build_optim_wrapper(model, cfg.optim_wrapper).optimizer)
    for name, layer in PEERS[peer].items():
        group = groups[f"backbone.{name}"]
        assert group["lr"] == pytest.approx(1.3e-4 * 0.6 ** (7 - layer)), name
        none = name.endswith(("bias", "bn1.weight", "norm.weight", "norm3.weight", "stem_1.weight"))
        none = none or name.endswith(("relative_position_bias_table", "grn.weight"))
        assert group["weight_decay"] == (0 if none else 0.05), name
    used = {round(math.log(group["lr"] / 1.3e-4, 0.6)) for group in groups.values()}
    assert used == set(range(6 if peer == "resnet50" else 8))  # a frozen part has no group


def test_absolute_position_embeddings_get_no_weight_decay(mmdet_scope):
    swin = MODELS.build(
        dict(type="SwinTransformer", embed_dims=12, num_heads=[1] * 4, use_abs_pos_embed=True)
    )
    group = by_name(model := Detector(swin), build(model))["backbone.absolute_pos_embed"]
    assert group["weight_decay"] == 0
    assert group["lr"] == pytest.approx(LR * 0.6**7)


def test_a_backbone_derived_from_a_known_one_is_known(mmdet_scope):
    resnext = MODELS.build(dict(type="ResNeXt", depth=50, groups=2, base_width=4))
    assert layer_ids(resnext, 6)["layer4.2.conv3.weight"] == 6


@pytest.mark.parametrize("path", COCO, ids=lambda path: path.stem)
def test_every_trained_parameter_of_every_config_is_in_one_group(path, mmdet_scope):
    cfg = Config.fromfile(path)
    model = build_on_meta(cfg.model)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    inside = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(inside) == sorted(id(p) for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize(
    "kwargs", [{}, dict(paramwise_cfg=None), dict(paramwise_cfg=dict(num_layers=6, decay_rate=0.6))]
)
def test_every_layer_has_its_learning_rate_and_only_kernels_decay(mmdet_scope, kwargs):
    model = Detector()
    groups = by_name(model, build(model, **kwargs))
    parameters = dict(model.named_parameters())
    assert groups.keys() == parameters.keys()
    for name, group in groups.items():
        part, _, rest = name.partition(".")
        layer = layer_ids(model.backbone, 6)[rest] if part == "backbone" else 7
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


@pytest.mark.parametrize(
    "paramwise_cfg",
    [dict(norm_decay_mult=0.0), dict(num_layers=0), dict(decay_rate=0), dict(decay_rate=1.1)],
)
def test_other_paramwise_keys_and_values_are_refused(paramwise_cfg, mmdet_scope):
    with pytest.raises(UserError, match=r"paramwise_cfg .* expected only num_layers"):
        build(Detector(), paramwise_cfg=paramwise_cfg)


def test_an_optimizer_without_learning_rate_is_refused(mmdet_scope):
    with pytest.raises(UserError, match="has no lr to scale"):
        build(Detector(), dict(type="AdamW"))


def test_another_backbone_is_refused(mmdet_scope):
    with pytest.raises(UserError, match=r"backbone is Conv2d, .* VanillaNet, ResNet, Swin"):
        build(Detector(nn.Conv2d(3, 4, 1)))


def test_a_detector_in_a_wrapper_is_unpacked(mmdet_scope):
    model = Detector()
    assert by_name(model, build(nn.ModuleDict({"module": model})["module"])).keys()
    assert (
        by_name(model, build(nn.DataParallel(model))).keys() == by_name(model, build(model)).keys()
    )
