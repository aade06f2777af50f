"""VanillaNet in timm's registry, with timm's arguments and methods."""

import copy
import fnmatch
import pickle
import subprocess
import sys

import pytest
import timm
import torch
from timm.models._features import FeatureGetterNet
from timm.models._manipulate import group_parameters
from timm.utils import reparameterize_model
from tiny_vanillanet import images, tiny
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.testing import assert_close

from vanillanet_det import UserError, set_act_lambda
from vanillanet_det.classifiers import VanillaNetTimm
from vanillanet_det.models.backbones import ARCHS


@pytest.fixture(params=["plain", "ada_pool"])
def published(request, root):
    """A case of the reference data, and its network."""
    case = torch.load(root / "tests/data/vanillanet_tiny.pt", weights_only=True)[request.param]
    stem = dict(stem_stride=3, stem_padding=1) if case["arch"]["ada_pool"] else {}
    arch = {key: case["arch"][key] for key in ("dims", "strides", "ada_pool")}
    model = VanillaNetTimm(
        {**arch, **stem}, len(case["logits"][0]), act_num=case["arch"]["act_num"]
    )
    return case, model.eval()


@pytest.mark.parametrize("fuse", ["not", "itself", "by timm", "by timm in place"])
def test_the_published_logits_fused_or_not(published, fuse, tmp_path):
    case, model = published
    torch.save(case["checkpoint"], tmp_path / "published.pth")
    model.load_pretrained(tmp_path / "published.pth")
    if fuse == "itself":
        model.switch_to_deploy()
    elif fuse.startswith("by timm"):
        fused = reparameterize_model(model, inplace=fuse.endswith("place"))
        assert (fused is model) == fuse.endswith("place")
        assert any(isinstance(module, _BatchNorm) for module in model.modules()) != (fused is model)
        model = fused
    with torch.no_grad():
        logits = model(case["input"])
    assert (logits - case["logits"]).abs().max() <= 1e-5 * case["logits"].abs().max()
    if fuse != "not":
        assert model.deploy
        assert not any(isinstance(module, _BatchNorm) for module in model.modules())


def test_timm_fuses_features_as_a_whole():
    model = FeatureGetterNet(tiny(), out_indices=(0, 1))
    fused = reparameterize_model(model)
    assert fused.model.deploy
    for found, expected in zip(fused(images()), model(images())):
        assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_its_children_are_ordinary():
    model = tiny()
    names = [name for name, _ in model.named_children()]
    assert names == [*model._modules]
    assert all(child in list(model.modules()) for child in model.children())
    same = copy.deepcopy(model)
    assert same.whole._network[0] is same
    loaded = pickle.loads(pickle.dumps(model))  # noqa: S301
    assert_close(loaded(images()), model(images()))
    assert reparameterize_model(loaded).deploy
    inside = reparameterize_model(nn.Sequential(same))
    assert inside[0].deploy
    assert same.form == "training"


def test_it_is_initialised_as_published():
    torch.manual_seed(0)
    model = VanillaNetTimm(dict(dims=[64, 64, 128], strides=[2, 2]), 100)
    model.reset_classifier(200)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.1)
            assert not module.bias.any()


def test_timm_leaves_a_network_alone_that_cannot_be_fused():
    model = tiny()
    set_act_lambda(model, 0.5)
    with pytest.raises(UserError, match=r"lambda is 0\.5"):
        reparameterize_model(model, inplace=True)
    assert model.form == "training"


def test_every_arch_is_registered_with_its_published_file():
    assert set(timm.list_models("vanillanet*")) == {f"vanillanet_{name}" for name in ARCHS}
    for name in ARCHS:
        cfg = timm.get_pretrained_cfg(f"vanillanet_{name}")
        assert cfg.url.endswith(f"/releases/download/ckpt/vanillanet_{name}.pth")
        assert (cfg.tag, cfg.interpolation, cfg.crop_pct) == ("in1k", "bicubic", 0.875)


@pytest.mark.parametrize(
    ("arch", "millions", "side"), [("5", 15.5, 7), ("11", 50.0, 7), ("13_x1_5_ada_pool", 127.8, 10)]
)
def test_create_model(arch, millions, side):
    name = f"vanillanet_{arch}"
    model = timm.create_model(name, device="meta", dtype=torch.float32).eval()
    tensors = [*model.named_parameters(), *model.named_buffers()]
    assert {tensor.device.type for _, tensor in tensors} == {"meta"}
    x = torch.empty(1, 3, 224, 224, device="meta")
    assert model(x).shape == (1, 1000)
    assert model.forward_features(x).shape == (1, model.num_features, side, side)
    names = [name for name, _ in tensors]
    for layer in (model.default_cfg["first_conv"], *model.default_cfg["classifier"]):
        assert f"{layer}.weight" in names
    model.switch_to_deploy()  # whose parameters the paper counts
    count = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    assert count == pytest.approx(millions, rel=0.01)
    features = timm.create_model(name, features_only=True, device="meta")(x)
    assert [feature.shape[1] for feature in features] == [
        model.arch.dims[index] for index in model.arch.last_of_each_stride
    ]
    with pytest.raises(TypeError, match="no_such_argument"):
        timm.create_model(name, no_such_argument=1, device="meta")


def test_arguments_reach_the_network():
    model = timm.create_model(
        "vanillanet_5", num_classes=4, in_chans=1, drop_rate=0.3, act_num=0, dtype=torch.float64
    )
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    assert model.stages[0].act.weight.shape[-1] == 1
    assert [module.p for module in model.modules() if isinstance(module, nn.Dropout)] == [0.3]
    assert (model.in_chans, model.num_classes, model.cls2[0].out_channels) == (1, 4, 4)
    assert model.eval()(torch.randn(1, 1, 32, 32).double()).shape == (1, 4)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(num_classes=-1), "num_classes -1; expected a positive integer"),
        (dict(num_classes=2.0), r"num_classes 2\.0; expected"),
        (dict(global_pool="mean"), "global_pool 'mean'; expected avg, max, avgmax, catavgmax or"),
        (dict(in_chans=0), "in_channels 0"),
    ],
)
def test_wrong_arguments_say_what_was_expected(kwargs, message):
    with pytest.raises(UserError, match=message):
        tiny(**kwargs)


@pytest.mark.parametrize("deploy", [False, True])
@pytest.mark.parametrize("pool", ["avg", "max", "catavgmax", ""])
def test_the_head_is_pooled_and_replaced(pool, deploy):
    model = tiny(global_pool=pool)
    if deploy:
        model.switch_to_deploy()
    feature = model.forward_features(images())
    pooled = model.forward_head(feature, pre_logits=True)
    expected = {
        "avg": feature.mean((2, 3)),
        "max": feature.amax((2, 3)),
        "catavgmax": torch.cat([feature.mean((2, 3)), feature.amax((2, 3))], 1),
        "": feature,
    }[pool]
    assert_close(pooled, expected)
    assert pooled.shape[1] == model.head_hidden_size
    state = copy.deepcopy(model.state_dict())
    model.reset_classifier(0)
    assert_close(model(images()), expected)
    assert isinstance(model.get_classifier(), nn.Identity)
    model.reset_classifier(7, "max")
    assert model(images()).shape == (2, 7)
    assert model.deploy == deploy
    kept = {key: value for key, value in model.state_dict().items() if not key.startswith("cls")}
    assert_close(kept, {key: state[key] for key in kept}, rtol=0, atol=0)
    if not deploy:
        model.switch_to_deploy()
        assert model(images()).shape == (2, 7)


def test_a_new_head_is_where_and_as_the_network_is():
    model = tiny().to("meta", torch.float64).train()
    model.reset_classifier(3)
    heads = model.get_classifier()
    assert len(heads) == 2
    assert all(p.is_meta and p.dtype == torch.float64 for h in heads for p in h.parameters())
    assert all(module.training for module in model.modules())


def test_no_classes_are_features():
    model, same = tiny(), tiny(num_classes=0)
    same.load_state_dict({k: v for k, v in model.state_dict().items() if "cls" not in k})
    assert_close(same(images()), model.forward_head(model.forward_features(images()), True))
    same.switch_to_deploy()
    assert same.deploy


def test_features_and_pruning():
    model = tiny()
    taps = model.forward_intermediates(images(), intermediates_only=True)
    info = model.feature_info
    assert [(each["num_chs"], each["reduction"]) for each in info] == [(4, 4), (8, 8), (16, 16)]
    for tap, each in zip(taps, info):
        assert tap.shape == (2, each["num_chs"], 64 // each["reduction"], 96 // each["reduction"])
        layer = model.get_submodule(each["module"])
        assert isinstance(layer, nn.Module)
    final, last_two = model.forward_intermediates(images(), indices=2)
    assert_close([final, *last_two], [taps[2], *taps[1:]])
    for index, tap in enumerate(taps):
        early, _ = model.forward_intermediates(images(), indices=[index], stop_early=True)
        assert_close(early, tap)
        pruned = copy.deepcopy(model)
        assert pruned.prune_intermediate_layers([index]) == [index]
        assert_close(pruned(images()), tap)
        pruned.train()(images()).sum().backward()
        assert not [name for name, p in pruned.named_parameters() if p.grad is None]
        pruned.eval().switch_to_deploy()
        assert_close(pruned(images()).shape, tap.shape)
    whole = copy.deepcopy(model)
    whole.prune_intermediate_layers([-1], prune_head=False)
    assert_close(whole(images()), model(images()))
    with pytest.raises(UserError, match="output_fmt 'NHWC'"):
        model.forward_intermediates(images(), output_fmt="NHWC")


def test_checkpointing_changes_nothing():
    model = tiny(drop_rate=0.0).train()
    same = copy.deepcopy(model)
    same.set_grad_checkpointing()
    for each in (model, same):
        each(images()).square().sum().backward()
    assert_close(*[[p.grad for p in each.parameters()] for each in (model, same)])
    assert_close(model.state_dict(), same.state_dict())


def test_layers_for_layer_wise_learning_rates():
    model = tiny()
    groups = group_parameters(model, model.group_matcher(), reverse=True)
    for pattern, layer in {"stem*": 0, "stages.0.*": 1, "stages.3.*": 4, "cls*": 5}.items():
        assert {groups[name] for name in groups if fnmatch.fnmatch(name, pattern)} == {layer}


ALONE = """
import sys
sys.modules.update(mmdet=None, mmengine=None, mmcv=None)
import timm, torch
import vanillanet_det.classifiers
model = timm.create_model("vanillanet_5", num_classes=3, act_num=1)
x = torch.randn(2, 3, 64, 64)
model.train()(x).square().mean().backward()
torch.optim.SGD(model.parameters(), 1e-3).step()
model.eval()
with torch.no_grad():
    expected = model(x)
model.switch_to_deploy()
program = torch.export.export(model, (x,)) if sys.argv[1] == "new" else torch.jit.trace(model, x)
run = program.module() if sys.argv[1] == "new" else program
torch.testing.assert_close(run(x), expected, rtol=1e-3, atol=1e-4)
"""


@pytest.mark.slow
def test_without_mmdetection(root):
    kind = "new" if hasattr(torch, "export") and hasattr(torch.export, "Dim") else "old"
    command = [sys.executable, "-c", ALONE, kind]
    process = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr
