"""The backbone: features, arguments, training behaviour, and its deployed form."""

import copy

import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm
from torch.testing import assert_close

from vanillanet_det import UserError, VanillaNet, switch_to_deploy
from vanillanet_det.models.deploy import layer_errors
from vanillanet_det.models.layers import pointwise

TINY = dict(dims=[4, 4, 8, 8, 16], strides=[1, 2, 1, 2])


def tiny(**kwargs):
    return VanillaNet(**{"arch": TINY, "act_num": 1, **kwargs})


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(arch="14"), "arch '14'; expected one of 5, 6, 7"),
        (dict(arch=11), "arch 11; expected a name such as '11'"),
        (dict(arch=dict(dims=[4, 8])), "arch with the keys dims; expected dims and strides"),
        (dict(arch=dict(TINY, depth=3)), "; expected dims and strides"),
        (dict(arch=dict(dims=[4, 8], strides=[2, 2])), "3 entries: one for the stem"),
        (dict(arch=dict(dims=[4, 0], strides=[2])), r"dims \(4, 0\) .* positive integers"),
        (dict(arch=dict(dims=4, strides=[2])), "dims 4; expected a list"),
        (dict(arch=dict(dims=[4, 8], strides=[0])), r"strides \(0,\)"),
        (dict(act_num=-1), "act_num -1"),
        (dict(in_channels=0), "in_channels 0; expected a positive integer"),
        (dict(out_indices=(0, 12)), r"\(0, 12\) but arch 'dict' has features 0..4"),
        (dict(out_indices=()), r"out_indices \(\)"),
        (dict(out_indices=(2, 1)), "in ascending order"),
        (dict(out_indices=(1, 1)), "list each at most once"),
        (dict(out_indices=(-1,)), r"out_indices \(-1,\)"),
        (dict(out_indices=3), "out_indices 3 but"),
        (dict(frozen_stages=5), "frozen_stages 5; expected -1"),
        (dict(frozen_stages=2, out_indices=(1,)), "a stage up to 1"),
        (dict(norm_cfg=dict(type="GN", num_groups=2)), "norm_cfg .*GN.* expected dict"),
        (dict(ada_pool=(0, 3)), "ada_pool .* 4 output sizes"),
        (dict(ada_pool=3), "ada_pool 3; expected a list"),
        (dict(stem_stride=0), "stem_stride 0"),
        (dict(stem_padding=-1), "stem_padding -1"),
    ],
)
def test_wrong_arguments_say_what_was_expected(kwargs, message):
    with pytest.raises(UserError, match=message):
        tiny(**kwargs)


@pytest.mark.parametrize("deploy", [False, True])
def test_features_have_the_channels_and_strides_it_tells(deploy):
    backbone = tiny(out_indices=(0, 1, 2, 3, 4), deploy=deploy).eval()
    features = backbone(torch.randn(2, 3, 64, 96))
    assert backbone.out_channels == (4, 4, 8, 8, 16)
    assert backbone.out_strides == (4, 4, 8, 8, 16)
    for feature, channels, stride in zip(features, backbone.out_channels, backbone.out_strides):
        assert feature.shape == (2, channels, 64 // stride, 96 // stride)


def test_default_features_are_the_last_of_each_stride():
    backbone = tiny()
    assert backbone.out_indices == (1, 3, 4)
    assert backbone.out_strides == (4, 8, 16)


def test_stages_behind_the_last_feature_are_not_built():
    # Their parameters would get no gradient, which distributed training refuses.
    backbone = tiny(out_indices=(0, 2))
    assert len(backbone.stages) == 2
    sum(f.sum() for f in backbone(torch.randn(2, 3, 32, 32))).backward()
    assert all(p.grad is not None for p in backbone.parameters())


@pytest.mark.parametrize("size", [(64, 96), (203, 317), (57, 43)])
def test_adaptive_pooling_gives_the_ceiling_for_any_size(size):
    arch = dict(dims=[4, 8, 8, 8], strides=[2, 1, 2])
    backbone = VanillaNet(
        arch, out_indices=(0, 1, 2, 3), ada_pool=True, stem_stride=3, stem_padding=1
    ).eval()
    features = backbone(torch.randn(1, 3, *size))
    expected = [(side + 2 - 4) // 3 + 1 for side in size]
    for feature, stride in zip(features, (1, 2, 1, 2)):
        expected = [-(-side // stride) for side in expected]
        assert list(feature.shape[2:]) == expected


def test_images_of_other_channels():
    assert tiny(in_channels=1)(torch.randn(2, 1, 32, 32))


def test_batchnorm_kind_and_eps():
    norms = [m for m in tiny(norm_cfg=dict(type="SyncBN")).modules() if isinstance(m, _BatchNorm)]
    assert all(isinstance(norm, torch.nn.SyncBatchNorm) for norm in norms)
    assert {norm.eps for norm in norms} == {1e-6}
    assert tiny(norm_cfg=dict(type="BN", eps=1e-3)).stem1[1].eps == 1e-3


FROZEN = {-1: (), 0: ("stem",), 2: ("stem", "stages.0.", "stages.1.")}


@pytest.mark.parametrize("frozen", FROZEN)
def test_frozen_stages_stay_as_they_are(frozen):
    backbone = tiny(frozen_stages=frozen)
    untrained = {k for k, p in backbone.named_parameters() if not p.requires_grad}
    assert untrained == {
        k for k, _ in backbone.named_parameters() if k.startswith(FROZEN[frozen])
    }, "an optimizer made now would hold the wrong parameters"
    backbone.train()
    before = copy.deepcopy(backbone.state_dict())
    optimizer = torch.optim.SGD([p for p in backbone.parameters() if p.requires_grad], 0.1)
    sum(f.sum() for f in backbone(torch.randn(2, 3, 32, 32))).backward()
    optimizer.step()
    for key, value in backbone.state_dict().items():
        if key == "act_lambda":
            continue
        stayed = torch.equal(value, before[key])
        if key.startswith(FROZEN[frozen]):
            assert stayed, f"{key} of a frozen part changed"
        elif "num_batches" in key:
            assert not stayed, f"{key} was not counted"


def test_norm_eval_keeps_statistics_while_weights_train():
    backbone = tiny(norm_eval=True).train()
    before = copy.deepcopy(backbone.state_dict())
    backbone(torch.randn(2, 3, 32, 32))
    for key, value in backbone.state_dict().items():
        assert_close(value, before[key])
    assert backbone.training


def test_with_cp_gives_the_same_gradients_and_statistics(randomize_norms):
    plain = randomize_norms(tiny(), torch.randn(2, 3, 32, 32))
    checkpointed = tiny(with_cp=True)
    checkpointed.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 32, 32)
    kept = []
    for backbone in (plain.train(), checkpointed.train()):
        backbone.set_act_lambda(0.3)
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, s=sizes: s.append(t) or t, lambda t: t
        ):
            loss = sum(f.square().mean() for f in backbone(x))
        loss.backward()
        kept.append(sum(t.numel() for t in sizes))
    assert kept[1] < kept[0] / 2, "recomputation keeps nearly as much as none"
    assert_close(dict(checkpointed.named_buffers()), dict(plain.named_buffers()))
    grads = [{k: p.grad for k, p in b.named_parameters()} for b in (checkpointed, plain)]
    assert_close(grads[0], grads[1])


def test_lambda_is_saved_and_1_where_a_file_does_not_name_it():
    backbone = tiny()
    backbone.set_act_lambda(0.25)
    state = backbone.state_dict()
    other = tiny()
    other.load_state_dict(state)
    assert float(other.act_lambda) == 0.25
    del state["act_lambda"]
    other.load_state_dict(state)  # strict, as published files are
    assert float(other.act_lambda) == 1


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_lambda_outside_0_to_1_is_refused(value):
    with pytest.raises(UserError, match=r"lambda .* from 0 to 1"):
        tiny().set_act_lambda(value)


@pytest.mark.parametrize("pooling", [{}, dict(ada_pool=True, stem_stride=3, stem_padding=1)])
@torch.no_grad()
def test_deployed_form_is_equal_idempotent_and_loads_strictly(pooling, randomize_norms):
    indices = (0, 1, 2, 3, 4)
    x = torch.randn(2, 3, 61, 83)
    backbone = randomize_norms(tiny(out_indices=indices, **pooling), x).eval()
    expected = backbone(x)
    fused = switch_to_deploy(backbone)
    assert not backbone.deploy, "the original was fused too"
    assert not any(isinstance(m, _BatchNorm) for m in fused.modules())
    fused.switch_to_deploy()
    fresh = tiny(out_indices=indices, deploy=True, **pooling).eval()
    fresh.load_state_dict(fused.state_dict(), strict=True)
    for deployed in (fused, fresh):
        for feature, reference in zip(deployed(x), expected):
            assert_close(feature, reference, rtol=0, atol=1e-5 * float(reference.abs().max()))


def test_fusion_refuses_below_lambda_1_and_changes_nothing():
    backbone = tiny()
    backbone.set_act_lambda(0.5)
    keys = set(backbone.state_dict())
    with pytest.raises(UserError, match=r"lambda is 0\.5"):
        backbone.switch_to_deploy()
    assert set(backbone.state_dict()) == keys


def test_fusion_refused_by_a_batchnorm_in_the_middle_changes_nothing():
    backbone = tiny()
    backbone.stages[2].act.bn = torch.nn.BatchNorm2d(8, track_running_stats=False)
    keys = set(backbone.state_dict())
    with pytest.raises(UserError, match="has no running statistics"):
        backbone.switch_to_deploy()
    assert set(backbone.state_dict()) == keys


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_fusion_in_16_bits_is_computed_in_float64_and_rounded_once(dtype, randomize_norms):
    x = torch.randn(2, 3, 61, 83)
    backbone = randomize_norms(tiny(), x).eval().to(dtype)
    fused = switch_to_deploy(backbone)
    exact = switch_to_deploy(copy.deepcopy(backbone).double())
    for key, value in exact.state_dict().items():
        assert_close(fused.state_dict()[key], value.to(dtype), rtol=0, atol=0)
    # Compared in float32, so that only the rounding of the weights is seen.
    rows = list(layer_errors(backbone.float(), fused.float(), x))
    assert [name for name, *_ in rows] == ["stem", *(f"stages.{i}" for i in range(4))]
    assert all(0 < alone < 4 * torch.finfo(dtype).eps for _, alone, _ in rows)


def test_the_error_of_each_layer_is_its_own_and_what_came_before(randomize_norms):
    x = torch.randn(2, 3, 61, 83)
    backbone = randomize_norms(tiny(), x).eval()
    fused = switch_to_deploy(backbone)
    fused.stages[1].conv.weight.data.mul_(1.01)
    alone, accumulated = zip(*((a, b) for _, a, b in layer_errors(backbone, fused, x)))
    assert [error > 1e-3 for error in alone] == [False, False, True, False, False]
    assert [error > 1e-4 for error in accumulated] == [False, False, True, True, True]


@pytest.mark.parametrize(
    ("buffer", "value", "said"),
    [
        # In float16 a scale of 6e4 and a variance of nearly 0 are numbers, their ratio isn't.
        ("stages.1.conv2.1", 6e4, r"fusion of stages\.1: values up to .* don't fit into .*float16"),
        ("stages.2.act.bn", 6e4, r"fusion of stages\.2: values up to .* don't fit into .*float16"),
        ("stem1.1", float("nan"), "fusion of stem: .* diverged"),
        ("stem2.2.bn", float("inf"), "fusion of stem: .* diverged"),
    ],
)
def test_fused_values_that_are_no_numbers_are_refused_and_nothing_changes(buffer, value, said):
    backbone = tiny().half()
    norm = backbone.get_submodule(buffer)
    norm.weight.data.fill_(value)
    norm.running_var.fill_(1e-7)
    keys = set(backbone.state_dict())
    with pytest.raises(UserError, match=said):
        backbone.switch_to_deploy()
    assert set(backbone.state_dict()) == keys


def test_the_deployed_form_has_no_lambda():
    with pytest.raises(UserError, match=r"one convolution per layer and no lambda"):
        tiny(deploy=True).set_act_lambda(0.5)


def test_the_deployed_form_is_traced_and_saved(tmp_path):
    fused = switch_to_deploy(tiny().eval())
    x = torch.randn(1, 3, 64, 96)
    # With gradients enabled, as whoever forgets to disable them has it.
    torch.jit.save(torch.jit.trace(fused, x), tmp_path / "traced.pt")
    assert_close(torch.jit.load(tmp_path / "traced.pt")(x), fused(x))


def test_random_weights_are_a_truncated_normal():
    backbone = VanillaNet(dict(dims=[64, 64], strides=[2]))
    backbone.init_weights()
    weight = backbone.stages[0].conv1[0].weight
    assert abs(float(weight.std()) - 0.02) < 0.002
    assert float(backbone.stages[0].conv1[0].bias.abs().max()) == 0


@pytest.mark.parametrize("size", [(64, 96), (75, 107)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("ada_pool", [False, True])
def test_without_gradients_the_deployed_form_computes_the_same(
    size, layout, ada_pool, randomize_norms, monkeypatch
):
    monkeypatch.setattr(pointwise, "STRIP_BYTES", 3000)  # strips in the first stage alone
    # Matrix products, pooling by comparison and a ReLU in place, against PyTorch's operators.
    x = torch.randn(2, 3, *size)
    fused = switch_to_deploy(randomize_norms(tiny(ada_pool=ada_pool), x).eval())
    fused.to(memory_format=layout)
    expected = fused(x)
    with torch.no_grad():
        found = fused(x)
    for a, b in zip(found, expected):
        assert_close(a, b, rtol=1e-4, atol=1e-5 * float(b.abs().max()))
        assert a.is_contiguous(memory_format=layout)


def test_arguments_by_position_are_those_of_the_network():
    assert VanillaNet(TINY, 1).in_channels == 1
    with pytest.raises(TypeError, match="unexpected keyword argument 'depth'"):
        VanillaNet(TINY, depth=3)
