"""GResNet: its counts, sizes and arguments, and the same features fused, at the borders too."""

import copy

import pytest
import torch
from mmdet.registry import MODELS
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.testing import assert_close

from vanillanet_det import UserError
from vanillanet_det.models.backbones.mmdet_gresnet import GResNet, GResNetClassifier
from vanillanet_det.models.layers.split_norm import SplitNormConv2d

SIZES = [(176, 176), (224, 224), (203, 317)]


@pytest.fixture(scope="module")
def network():
    """GResNet-50 with random statistics, scales and shifts."""
    torch.manual_seed(0)
    network = GResNet().eval()
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
        if isinstance(module, SplitNormConv2d):
            nn.init.uniform_(module.scale, 0.5, 1.5)
            nn.init.uniform_(module.shift, -0.5, 0.5)
    return network


@pytest.fixture(scope="module")
def fused(network):
    fused = copy.deepcopy(network)
    fused.switch_to_deploy()
    return fused


@pytest.mark.parametrize(
    ("depth", "parameters", "layers"), [(50, 25_661_448, 55), (101, 44_653_576, 106)]
)
def test_counts(depth, parameters, layers):
    with torch.device("meta"):
        network, head = GResNet(depth), nn.Linear(2048, 1000)
    both = [*network.parameters(), *head.parameters()]
    assert sum(p.numel() for p in both) == parameters
    assert sum(isinstance(m, SplitNormConv2d) for m in network.modules()) == layers


@pytest.mark.parametrize("size", SIZES)
def test_features_and_their_borders_are_equal_fused(size, network, fused):
    x = torch.randn(1, 3, *size)
    with torch.no_grad():
        expected, found = network(x), fused(x)
    shapes = [
        (c, -(-size[0] // s), -(-size[1] // s))
        for c, s in zip(network.out_channels, network.out_strides)
    ]
    assert [tuple(feature.shape[1:]) for feature in expected] == shapes
    for a, b in zip(found, expected):
        border = torch.ones_like(a, dtype=torch.bool)
        border[..., 1:-1, 1:-1] = False
        for where in (border, ~border):
            error = (a - b)[where].abs().max() / b.abs().max()
            assert error < 5e-5


def test_fused_in_float64(network):
    network = copy.deepcopy(network).double()
    fused = copy.deepcopy(network)
    fused.switch_to_deploy()
    x = torch.randn(1, 3, 75, 107, dtype=torch.float64)
    with torch.no_grad():
        for a, b in zip(fused(x), network(x)):
            assert (a - b).abs().max() / b.abs().max() < 1e-12


def test_means_in_the_bias_alone_would_be_wrong(network, fused):
    wrong = copy.deepcopy(fused)
    for module in wrong.modules():
        if isinstance(module, SplitNormConv2d) and hasattr(module, "mean"):
            module.conv.bias.data -= module.conv.weight.sum((2, 3)) @ module.mean.flatten()
            del module.mean
    x = torch.randn(1, 3, 176, 176)
    with torch.no_grad():
        a, b = wrong(x)[-1], network(x)[-1]
    assert (a - b).abs().max() / b.abs().max() > 1e-2


def test_the_deployed_form_has_convolutions_and_19_subtractions(fused):
    assert fused.deploy
    assert not any(isinstance(module, _BatchNorm) for module in fused.modules())
    assert sum(hasattr(m, "mean") for m in fused.modules()) == 19
    fresh = GResNet(deploy=True)
    fresh.load_state_dict(fused.state_dict())
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert_close(fresh.eval()(x), fused(x))


@pytest.mark.parametrize("norm_cfg", [dict(type="SyncBN"), dict(type="BN", momentum=0.2)])
def test_kinds_of_batchnorm(norm_cfg):
    network = GResNet(norm_cfg=norm_cfg)
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm)]
    assert len(norms) == 55
    assert all(m.weight is None and m.momentum == norm_cfg.get("momentum", 0.1) for m in norms)
    network.switch_to_deploy()
    assert network.deploy


@pytest.mark.parametrize("indices", [(0, 1, 2, 3), (1, 2, 3), (2,)])
def test_features_that_are_asked_for(indices):
    network = GResNet(out_indices=indices).eval()
    assert len(network.stages) == indices[-1] + 1
    with torch.no_grad():
        features = network(torch.randn(1, 3, 64, 96))
    shapes = [(c, 64 // s, 96 // s) for c, s in zip(network.out_channels, network.out_strides)]
    assert [tuple(feature.shape[1:]) for feature in features] == shapes


@pytest.mark.parametrize("frozen", [-1, 0, 2])
def test_frozen_stages_and_norm_eval(frozen):
    network = GResNet(frozen_stages=frozen, norm_eval=True).train()
    trained = {name.partition(".")[0] for name, p in network.named_parameters() if p.requires_grad}
    stages = [any(p.requires_grad for p in stage.parameters()) for stage in network.stages]
    assert ("stem" in trained) == (frozen < 0)
    assert stages == [index >= frozen for index in range(4)]
    assert not any(m.training for m in network.modules() if isinstance(m, _BatchNorm))


def test_with_cp_gives_the_same_gradients_and_statistics(network):
    plain = copy.deepcopy(network).train()
    recomputed = copy.deepcopy(plain)
    recomputed.with_cp = True
    x = torch.randn(2, 3, 64, 64)
    for each in (plain, recomputed):
        each(x)[-1].square().mean().backward()
    for (name, a), b in zip(plain.named_parameters(), recomputed.parameters()):
        assert_close(b.grad, a.grad, msg=name)
    assert_close(dict(recomputed.named_buffers()), dict(plain.named_buffers()))


def test_drop_path_rises_to_the_last_block():
    network = GResNet(drop_path=0.05)
    rates = [getattr(block.drop_path, "p", 0.0) for stage in network.stages for block in stage]
    assert_close(rates, torch.linspace(0, 0.05, 16).tolist())


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(depth=18), "depth 18; expected 50 or 101"),
        (dict(depth=[50]), r"depth \[50\]; expected 50 or 101"),
        (dict(drop_path="0.1"), "drop_path '0.1'; expected a number"),
        (dict(in_channels=0), "in_channels 0; expected a positive integer"),
        (dict(out_indices=()), "out_indices"),
        (dict(out_indices=(4,)), r"out_indices \(4,\); expected some of 0 to 3"),
        (dict(out_indices=(1, 0)), "expected an ascending order"),
        (dict(out_indices=(1,), frozen_stages=3), "frozen_stages 3; expected -1"),
        (dict(drop_path=1), "drop_path 1; expected a number from 0 to below 1"),
        (dict(norm_cfg=dict(type="GN")), "GResNet: norm_cfg .* can't be fused"),
    ],
)
def test_wrong_arguments_say_what_was_expected(kwargs, message):
    with pytest.raises(UserError, match=message):
        MODELS.build(dict(type="GResNet", **kwargs))


def test_weights_of_another_form_or_depth_are_refused(network, fused):
    with pytest.raises(UserError, match="are of the deployed form, which can't be converted"):
        GResNet().load_state_dict(fused.state_dict())
    with pytest.raises(UserError, match="are of the training form, but deploy=True"):
        GResNet(deploy=True).load_state_dict(network.state_dict())
    with pytest.raises(UserError, match="of GResNet-50, width 64, but the network is GResNet-101"):
        GResNet(101).load_state_dict(network.state_dict())
    with pytest.raises(UserError, match=r"0 of .* tensors.*, of a GResNet; expected at least 90%"):
        GResNet().load_state_dict(nn.Linear(3, 4).state_dict())
    with pytest.raises(UserError, match=r"has the shape \(32, 3, 3, 3\), but the network expects"):
        GResNet(in_channels=4).load_state_dict(network.state_dict())


def test_layer_ids_rise_from_the_stem_to_the_head():
    network = GResNetClassifier(num_classes=10, width=8)
    ids = network.layer_ids(6)
    assert ids.keys() == dict(network.named_parameters()).keys()
    assert {ids[name] for name in ids if name.startswith("stem")} == {0}
    assert {ids[name] for name in ids if name.startswith("cls")} == {7}
    blocks = [
        ids[f"stages.{i}.{j}.conv2.scale"] for i, n in enumerate((3, 4, 6, 3)) for j in range(n)
    ]
    assert blocks == sorted(blocks)
    assert set(blocks) == set(range(1, 7))


def test_pixels_are_normalised_by_the_stem(fused):
    network = copy.deepcopy(fused).double()
    mean, std = torch.full((3,), 120.0).double(), torch.full((3,), 57.0).double()
    pixels = torch.randint(256, (1, 3, 75, 64)).double()
    with torch.no_grad():
        expected = network((pixels.flip(1) - 120) / 57)
        assert network.fold_normalization(mean, std, flip=True)
        assert_close(network(pixels), expected)
    assert not network.fold_normalization(mean, std, flip=True)
    with pytest.raises(UserError, match="the weights expect pixels from 0 to 255"):
        GResNet(deploy=True).load_state_dict(network.state_dict())
