"""The merged form is the same network with less to train; it comes from the training form."""

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from vanillanet_det import (
    UserError,
    VanillaNet,
    set_act_lambda,
    switch_to_deploy,
    switch_to_merged,
)
from vanillanet_det.models.backbones.mmdet_vanillanet import VanillaNetClassifier
from vanillanet_det.models.deploy import relative_error

IMAGE = torch.randn(2, 3, 61, 83, generator=torch.Generator().manual_seed(1))
ARCH = dict(dims=[4, 4, 8, 8, 16], strides=[1, 2, 1, 2])
FORMS = dict(training={}, merged=dict(merged=True), deployed=dict(deploy=True))


def tiny(network=VanillaNet, **kwargs):
    return network(**{"arch": ARCH, "act_num": 1, **kwargs})


@pytest.fixture
def trained(randomize_norms):
    """Make a network with statistics of its own."""
    return lambda *args, **kwargs: randomize_norms(tiny(*args, **kwargs), IMAGE).eval()


@torch.no_grad()
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        dict(ada_pool=True, stem_stride=3, stem_padding=1),
        dict(norm_cfg=dict(type="SyncBN")),
        dict(act_num=0, out_indices=(1,)),
    ],
)
def test_merged_and_then_fused_it_is_the_same_network(trained, kwargs):
    network = trained(**kwargs)
    expected = network(IMAGE)
    merged = switch_to_merged(network)
    assert (network.form, merged.form) == ("training", "merged")
    assert relative_error(merged(IMAGE), expected) < 1e-5
    convs = [m for m in merged.modules() if isinstance(m, nn.Conv2d)]
    assert len(convs) == 1 + len(merged.stages), "a layer has more than one convolution"
    merged.switch_to_merged()
    assert merged.form == "merged"
    fused = switch_to_deploy(merged)
    assert relative_error(fused(IMAGE), expected) < 1e-5
    found, directly = fused.state_dict(), switch_to_deploy(network).state_dict()
    assert found.keys() == directly.keys()
    assert relative_error([found[key] for key in directly], directly.values()) < 1e-5


@torch.no_grad()
def test_it_trains_as_the_training_form_with_the_merged_statistics_held(trained):
    network = trained().train()
    for first in (network.stem1, *(stage.conv1 for stage in network.stages)):
        first.eval()
    merged = switch_to_merged(network)
    assert merged.training
    assert merged.stages[0].conv[1].training
    assert relative_error(merged(IMAGE), network(IMAGE)) < 1e-5
    for stage, same in zip(network.stages, merged.stages):
        assert_close(same.conv[1].running_var, stage.conv2[1].running_var, rtol=1e-4, atol=1e-6)
        assert_close(same.act.bn.running_var, stage.act.bn.running_var, rtol=1e-4, atol=1e-6)


def test_recomputed_features_have_the_same_gradients(trained):
    results = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        network = switch_to_merged(trained(with_cp=with_cp)).train()
        sum(feature.square().sum() for feature in network(IMAGE)).backward()
        results.append([p.grad for p in network.parameters()] + list(network.buffers()))
    assert_close(*results)


def test_frozen_stages_stay_frozen(trained):
    merged = switch_to_merged(trained(frozen_stages=1))
    trainable = {name for name, p in merged.named_parameters() if p.requires_grad}
    assert trainable
    assert not any(name.startswith(("stem.", "stages.0.")) for name in trainable)
    assert any(name.startswith("stages.1.") for name in trainable)
    assert not merged.train().stem[0][1].training


@pytest.mark.parametrize("case", ["plain", "ada_pool"])
@pytest.mark.parametrize("network", [VanillaNet, VanillaNetClassifier])
def test_a_published_checkpoint_is_merged_as_it_is_loaded(case, network, root, tmp_path):
    case = torch.load(root / "tests/data/vanillanet_tiny.pt", weights_only=True)[case]
    torch.save(case["checkpoint"], tmp_path / "published.pth")
    arch = {key: case["arch"][key] for key in ("dims", "strides", "ada_pool")}
    stem = dict(stem_stride=3, stem_padding=1) if arch["ada_pool"] else {}
    kwargs = dict(num_classes=len(case["logits"][0])) if network is VanillaNetClassifier else {}
    if network is VanillaNet:
        kwargs["out_indices"] = tuple(range(len(case["features"])))
    merged = network(
        arch,
        act_num=case["arch"]["act_num"],
        merged=True,
        init_cfg=dict(type="Pretrained", checkpoint=str(tmp_path / "published.pth")),
        **stem,
        **kwargs,
    )
    merged.init_weights()
    found = merged.eval()(case["input"])
    expected = case["features"] if network is VanillaNet else [case["logits"]]
    found = found if network is VanillaNet else [found]
    assert relative_error(found, expected) < 1e-4


def test_weights_that_cannot_be_merged_are_refused(trained, tmp_path):
    network = trained()
    state = network.state_dict()
    path = tmp_path / "weights.pth"
    merged = tiny(merged=True, init_cfg=dict(type="Pretrained", checkpoint=str(path)))
    torch.save(dict(state, act_lambda=torch.tensor(0.5)), path)
    with pytest.raises(UserError, match=r"lambda is 0\.5"):
        merged.init_weights()
    torch.save({k: v for k, v in state.items() if k != "stages.3.act.bn.running_var"}, path)
    with pytest.raises(UserError, match=r"1 missing .*merging needs every tensor"):
        merged.init_weights()
    torch.save(trained(arch=dict(ARCH, dims=[4, 4, 8, 8, 8])).state_dict(), path)
    with pytest.raises(UserError, match=r"dims \[4, 4, 8, 8, 8\], act_num 1, but the network"):
        merged.init_weights()
    set_act_lambda(network, 0.5)
    with pytest.raises(UserError, match=r"lambda is 0\.5"):
        switch_to_merged(network)
    assert network.form == "training"
    with pytest.raises(UserError, match="has no BatchNorm and can't be merged"):
        switch_to_merged(trained(deploy=True))


SAID = {
    ("training", "merged"): "of the training form, but merged=True .*--merge",
    ("training", "deployed"): "of the training form, but deploy=True .*--deploy",
    ("merged", "training"): "of the merged form .*set merged=True",
    ("merged", "deployed"): "of the merged form, but deploy=True .*--deploy",
    ("deployed", "training"): "of the deployed form",
    ("deployed", "merged"): "of the deployed form",
}


@pytest.mark.parametrize(("found", "wanted"), SAID)
def test_weights_of_another_form_are_refused(trained, found, wanted):
    state = trained(**FORMS[found]).state_dict()
    network = tiny(**FORMS[wanted])
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(UserError, match=SAID[found, wanted]):
        network.load_state_dict(state)
    assert_close(network.state_dict(), before)


@pytest.mark.parametrize("network", [VanillaNet, VanillaNetClassifier])
def test_it_loads_strictly_what_was_merged(trained, network):
    kwargs = dict(num_classes=5) if network is VanillaNetClassifier else {}
    merged = switch_to_merged(trained(network, **kwargs))
    fresh = tiny(network, merged=True, **kwargs)
    fresh.load_state_dict(merged.state_dict())
    assert_close(fresh.eval()(IMAGE), merged(IMAGE), rtol=0, atol=0)
    fused = switch_to_deploy(fresh)
    deployed = tiny(network, deploy=True, merged=True, **kwargs).eval()
    deployed.load_state_dict(fused.state_dict())
    assert_close(deployed(IMAGE), fused(IMAGE), rtol=0, atol=0)


def test_it_has_no_lambda(trained):
    merged = switch_to_merged(trained())
    assert set_act_lambda(merged, 0.5) == 0
    with pytest.raises(UserError, match="no lambda"):
        merged.set_act_lambda(0.5)
