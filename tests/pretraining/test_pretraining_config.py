"""The configs of pretraining runs: the published recipes, and what options change."""

import math

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.optim import build_optim_wrapper

from vanillanet_det import UserError
from vanillanet_det.models.layers.series_activation import (
    PointwiseSeries,
    Series,
    SeriesActivation,
)
from vanillanet_det.pretraining.config import make_config
from vanillanet_det.pretraining.data import ClassificationData, Split
from vanillanet_det.pretraining.options import PretrainOptions
from vanillanet_det.pretraining.recipes import recipe_of

IMAGENET = ClassificationData(
    Split("imagenet/train", "train", (1281,) * 1000 + (167,)),
    Split("imagenet/val", "val", (50,) * 1000),
    tuple(f"n{number}" for number in range(1000)),
)


def config(ranks=8, **options):
    return make_config(IMAGENET, PretrainOptions(**options), ranks=ranks, workers=0)


@pytest.mark.parametrize(
    ("model", "lr", "decay", "mixup"),
    [
        ("vanillanet5", 3.5e-3, 0.35, 0.1),
        ("vanillanet6", 4.8e-3, 0.32, 0.15),
        ("vanillanet_7", 4.7e-3, 0.35, 0.4),
        ("vanillanet8", 3.5e-3, 0.3, 0.4),
        ("vanillanet9", 3.5e-3, 0.3, 0.4),
        ("vanillanet10", 3.5e-3, 0.25, 0.4),
        ("vanillanet13_x1_5", 3.5e-3, 0.25, 0.4),
    ],
)
def test_the_published_recipe_is_the_default(model, lr, decay, mixup):
    cfg = config(model=model)
    assert cfg.optim_wrapper.optimizer == dict(
        type="timm_optimizer", name="lamb", lr=lr, weight_decay=decay, eps=1e-8
    )
    assert (cfg.model.mixup, cfg.model.cutmix, cfg.model.loss) == (mixup, 1.0, "bce")
    (deep,) = cfg.custom_hooks
    assert (deep["end"], deep["schedule"]) == (100, "linear")
    assert cfg.default_hooks.ema["momentum"] == pytest.approx(1 - 0.99996)
    rise, fall = cfg.param_scheduler
    assert (rise["end"], fall["begin"], fall["end"]) == (5 * 1251, 5 * 1251, 300 * 1251)
    assert fall["eta_min"] == 1e-6
    transform = cfg.train_dataloader.dataset.transform
    assert transform["auto_augment"] == "rand-m7-mstd0.5-inc1"
    assert (transform["re_prob"], transform["re_mode"]) == (0.25, "pixel")
    assert cfg.train_dataloader.drop_last


def test_recipes_of_other_networks_are_ours():
    assert [recipe_of(f"vanillanet{arch}").published for arch in ("10", "_10", "11")] == [
        True,
        True,
        False,
    ]


def test_the_learning_rate_is_in_proportion_to_the_images_of_an_iteration():
    one = config(ranks=1, batch_size=64, accumulate=4)
    assert one.optim_wrapper.optimizer.lr == pytest.approx(4.8e-3 / 4)
    assert one.optim_wrapper.accumulative_counts == 4
    assert config(lr=0.1).optim_wrapper.optimizer.lr == 0.1


def test_layer_decay_is_that_of_the_published_recipe(mmdet_scope):
    """Stem 0, stage s -> s + 1, the head last; scale = 0.8 ** (4 + 1 - id)."""
    cfg = config(model="vanillanet6", width=8)
    model = MODELS.build(cfg.model)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    names = {id(p): name for name, p in model.named_parameters()}
    rates = {names[id(p)]: g["lr"] for g in optimizer.param_groups for p in g["params"]}
    decays = {names[id(p)]: g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert set(rates) == set(names.values())
    parts = {"stem1.0": 0, "stem2.2": 0, **{f"stages.{s}.conv1.0": s + 1 for s in range(4)}}
    for part, layer in {**parts, "cls1.2": 5, "cls2.0": 5}.items():
        assert rates[f"backbone.{part}.weight"] == pytest.approx(4.8e-3 * 0.8 ** (5 - layer))
    assert {decays[f"backbone.{name}"] for name in ("stem1.0.weight", "stem2.2.weight")} == {0.32}
    plain = ("stem1.0.bias", "stem1.1.weight", "stages.0.act.bn.bias")
    assert {decays[f"backbone.{name}"] for name in plain} == {0}


@pytest.mark.parametrize("layer_decay", [None, 1.0])
def test_one_dimensional_parameters_have_no_weight_decay(mmdet_scope, layer_decay):
    cfg = config(model="vanillanet5", width=8, layer_decay=layer_decay)
    model = MODELS.build(cfg.model)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            assert group["weight_decay"] == (0.35 if parameter.ndim > 1 else 0)


def test_the_backbone_of_a_detector():
    model = MODELS.build(config(model="small").model)
    assert model.backbone.arch.dims == (48, 96, 192, 384)
    assert model.backbone.series == Series(1)
    wide = MODELS.build(config(model="small", width=96, act_num=0).model)
    assert (wide.backbone.arch.dims[-1], wide.backbone.series) == (768, Series(0))


def test_series_of_another_activation_and_without_neighbours():
    options = dict(act_num=2, act_base="tanh", act_neighbours=False)
    backbone = MODELS.build(config(model="vanillanet5", width=8, **options).model).backbone
    assert backbone.series == Series(2, "tanh", False)
    other = MODELS.build(config(model="timm:test_resnet", vanilla=True, **options).model).backbone
    found = [module for module in other.modules() if isinstance(module, SeriesActivation)]
    assert {(type(act), act.act_num, act.act_base) for act in found} == {
        (PointwiseSeries, 2, "tanh")
    }
    with pytest.raises(UserError, match="--act-base tanh: only with --vanilla, or for VanillaNet"):
        config(model="timm:test_resnet", act_base="tanh")


@pytest.mark.parametrize("model", ["timm:resnet18", "torchvision:alexnet"])
def test_networks_of_libraries(model):
    cfg = config(model=model, vanilla=True, act_num=1)
    assert [hook["type"] for hook in cfg.custom_hooks] == ["DeepTrainingHook"]
    network = MODELS.build(cfg.model).eval()
    assert network(torch.zeros(2, 3, 224, 224)).shape == (2, 1000)
    assert any(module.has_lambda for module in network.modules() if hasattr(module, "has_lambda"))
    assert not config(model=model).get("custom_hooks")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(model="vanillanet4"), "--model vanillanet4: expected vanillanet5 to"),
        (dict(model="hf:resnet18"), "--model hf:resnet18: expected timm:NAME or torchvision:NAME"),
        (dict(model="timm:resnet18", width=8), "--width 8: timm:resnet18 has a width of its own"),
        (dict(vanilla=True), "--vanilla: vanillanet6 has both ideas already"),
        (dict(model="retinanet_resnet50_coco"), "its backbone is ResNet, not VanillaNet"),
        (dict(epochs=0), "--epochs 0: expected a positive integer"),
        (dict(width=0), "--width 0: expected a positive integer"),
        (dict(epochs=10, deep_epochs=10), "--deep-epochs 10: lambda has to reach 1 before"),
        (dict(epochs=1), "--epochs 1: deep training needs two; or use --deep none"),
        (dict(deep="none", deep_epochs=3), "--deep-epochs 3: the network isn't trained deep"),
        (dict(model="timm:resnet18", deep="cosine"), "--deep cosine: timm:resnet18 has no lambda"),
        (dict(model="timm:resnet18", shortcuts=True), "--shortcuts: only for VanillaNet"),
        (dict(model="timm:resnet18", sync_bn=True), "--sync-bn: only for VanillaNet"),
        (dict(model="timm:resnet18", act_num=2), "--act-num 2: only with --vanilla"),
        (dict(batch_size=1), "--batch-size 1: BatchNorm and mixup need at least 2"),
        (dict(accumulate=1252), "--accumulate 1252: an epoch has only 1251 batches"),
        (dict(warm_up=-1), "--warm-up -1: expected a number of epochs"),
        (dict(ema=5.0), "--ema 5: expected a number from 0 to 1"),
        (dict(teacher="timm:resnet18"), "--teacher timm:resnet18: expected timm:NAME=FILE"),
        (dict(epochs=10, warm_up=10), "--warm-up 10: expected less than --epochs 10"),
        (dict(lr=0.0), "--lr 0: expected a number above 0"),
        (dict(lr=math.inf), "--lr inf: expected"),
        (dict(erasing=1.5), r"--erasing 1\.5: expected a number from 0 to 1"),
        (dict(deep="quadratic"), "--deep quadratic: expected linear, cosine, none"),
        (dict(loss="hinge"), "--loss hinge: expected bce or ce"),
        (dict(batch_size=200_000), "there are only 1,281,167 training images for 8 processes"),
        (dict(seed=-1), "--seed -1"),
    ],
)
def test_wrong_options_are_one_sentence(options, message):
    with pytest.raises(UserError, match=message):
        config(**options)


def test_a_network_that_a_library_lacks():
    with pytest.raises(UserError, match="--model timm:resnet17: "):
        MODELS.build(config(model="timm:resnet17").model)
