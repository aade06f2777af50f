"""A checkpoint's tensors are found in any wrapper, and load whole or not at all."""

import argparse

import pytest
import torch
from mmengine.runner import load_checkpoint
from torch.testing import assert_close

from vanillanet_det import UserError, VanillaNet
from vanillanet_det.checkpoints import Match, backbone_state_dict, model_state_dict
from vanillanet_det.checkpoints.loading import load_backbone


def tiny(**kwargs):
    return VanillaNet(arch=dict(dims=[4, 8, 8], strides=[2, 2]), **kwargs)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"model": s},
        lambda s: {"state_dict": s, "meta": {}},
        lambda s: {"model_ema": s, "model": {"stem1.0.weight": torch.zeros(1)}},
        lambda s: {f"module.{k}": v for k, v in s.items()},
        lambda s: {"model": {f"backbone.{k}": v for k, v in s.items()}},
        lambda s: {"state_dict": {f"module.backbone.{k}": v for k, v in s.items()}},
        lambda s: {
            "state_dict": {
                **{f"backbone.{k}": v for k, v in s.items()},
                "neck.lateral_convs.0.conv.weight": torch.zeros(1),
                "bbox_head.retina_cls.weight": torch.zeros(1),
            }
        },
    ],
)
def test_a_backbone_is_found_in_every_wrapper(wrap):
    expected = dict(tiny().state_dict())
    assert_close(backbone_state_dict(wrap(expected)), expected, rtol=0, atol=0)


def test_averaged_weights_are_preferred_and_what_is_no_tensor_is_left(path):
    state = {"weight": torch.ones(1), "epoch": 3}
    raw = {"weight": torch.zeros(1)}
    assert model_state_dict({"model": raw, "model_ema": state, "args": argparse.Namespace()}) == {
        "weight": torch.ones(1)
    }
    assert model_state_dict([1]) == {}


def test_match_counts_names_and_parts():
    expected = {f"{part}.{i}": torch.zeros(i + 1) for part in ("backbone", "head") for i in (0, 1)}
    expected["backbone.act_lambda"] = expected["backbone.num_batches_tracked"] = torch.tensor(1)
    found = {"backbone.0": torch.ones(1), "head.1": torch.ones(1), "neck.0": torch.ones(1)}
    match = Match.of(found, expected)
    assert match == Match(("backbone.0",), ("backbone.1", "head.0"), ("neck.0",), ("head.1",))
    assert match.total == 4
    assert str(match) == (
        "1 of 4 tensors match, 2 missing (backbone.1, head.0), 1 left over (neck.0), "
        "1 of a different shape (head.1)"
    )
    assert match.within("backbone") == Match(("backbone.0",), ("backbone.1",), (), ())
    assert not match.is_complete
    assert Match.of(expected, expected).is_complete


def test_load_backbone_loads_and_reports_what_matched(path, log, randomize_norms):
    model, other = randomize_norms(tiny()), tiny()
    state = {**model.state_dict(), "head.weight": torch.ones(1)}
    del state["act_lambda"], state["stem1.1.num_batches_tracked"], state["stem1.1.bias"]
    torch.save({"model": state}, path)
    load_backbone(other, path)
    kept = {key: value for key, value in other.state_dict().items() if key in state}
    assert_close(kept, {key: model.state_dict()[key] for key in kept}, rtol=0, atol=0)
    # Batches of other norms are counted in the file; this one's needn't be.
    total = len(model.state_dict()) - 2
    assert (
        f"{path}: backbone: {total - 1} of {total} tensors match, 1 missing "
        "(stem1.1.bias), 1 left over (head.weight)"
    ) in log.text


def without_stage(state):
    return {key: value for key, value in state.items() if not key.startswith("stages.1.")}


def without_norms(state):
    return {key: value for key, value in state.items() if ".bn." not in key}


def misshapen(state):
    return {**state, "stages.1.act.weight": torch.ones(8, 1, 3, 3)}


@pytest.mark.parametrize(
    ("content", "kwargs", "said"),
    [
        (without_norms, {}, r"missing \(stem2\.2\.bn\.weight, .*expected at least 90%"),
        (without_stage, {}, r"an arch with dims \[4, 8\], .* with dims \[4, 8, 8\]"),
        (misshapen, {}, r"stages\.1\.act\.weight has the shape \(8, 1, 3, 3\).*\(8, 1, 7, 7\)"),
        (
            lambda _: tiny(act_num=4).state_dict(),
            {},
            r"dims \[4, 8, 8\], act_num 4, but .*dims \[4, 8, 8\], act_num 3",
        ),
        (
            lambda _: VanillaNet(arch=dict(dims=[4, 8, 16], strides=[2, 2])).state_dict(),
            {},
            r"dims \[4, 8, 16\].*dims \[4, 8, 8\]",
        ),
        (
            lambda _: VanillaNet(arch=dict(dims=[4, 8, 8, 8], strides=[2, 2, 1])).state_dict(),
            {},
            r"dims \[4, 8, 8, 8\].*dims \[4, 8, 8\]",
        ),
        (lambda _: tiny(in_channels=1).state_dict(), {}, r"\(4, 1, 4, 4\).*\(4, 3, 4, 4\)"),
        (lambda _: tiny(deploy=True).state_dict(), {}, "of the deployed form.*set deploy=True"),
        (lambda state: state, dict(deploy=True), r"training form.*convert-checkpoint"),
        (lambda _: [torch.ones(1)], {}, "0 of .* match.*expected at least 90%"),
        (lambda _: torch.ones(2, 2), {}, "0 of .* match"),
        (lambda _: {0: torch.ones(1)}, {}, r"0 of .* 1 left over \(0\)"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_loaded(path, content, kwargs, said):
    content = content(tiny().state_dict())
    torch.save(content, path)
    model = tiny(**kwargs)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(UserError, match=rf"{path}: .*{said}"):
        load_backbone(model, path)
    if isinstance(content, dict):
        # Every way of loading comes by the same check, however lenient.
        with pytest.raises(UserError, match=said):
            model.load_state_dict({str(k): v for k, v in content.items()}, strict=False)
    assert_close(dict(model.state_dict()), before, rtol=0, atol=0)


def test_two_archs_of_the_same_channels_are_told_apart_by_the_name_in_the_file(path, monkeypatch):
    with torch.device("meta"):
        model = VanillaNet("13_x1_5")
    loaded = []
    monkeypatch.setattr(VanillaNet, "load_state_dict", lambda *args, **kwargs: loaded.append(args))
    state = {key: torch.empty(()).expand(value.shape) for key, value in model.state_dict().items()}
    args = argparse.Namespace(model="vanillanet_13_x1_5_ada_pool")
    torch.save({"model": state, "args": args}, path)
    with pytest.raises(
        UserError, match="as arch '13_x1_5_ada_pool', but the network is arch '13_x1_5'"
    ):
        load_backbone(model, path)
    with torch.device("meta"):
        same = VanillaNet("13_x1_5", ada_pool=True, stem_stride=3, stem_padding=1)
    assert not loaded
    load_backbone(same, path)
    assert loaded


@pytest.mark.parametrize(
    "changes", [dict(stem_stride=2), dict(ada_pool=True), dict(stem_padding=1)]
)
def test_who_changes_the_stem_or_the_pooling_of_an_arch_means_it(changes):
    with torch.device("meta"):
        state = VanillaNet("13_x1_5").state_dict()
        VanillaNet("13_x1_5").check_state_dict(state, "13_x1_5")
        VanillaNet("13_x1_5", **changes).check_state_dict(state, "13_x1_5")
        VanillaNet("13_x1_5", **changes).check_state_dict(state, "13_x1_5_ada_pool")


@pytest.mark.parametrize("dot", [".", ""])
def test_the_prefix_of_init_cfg_is_used(path, dot):
    state = {f"teacher.backbone.{key}": value for key, value in tiny().state_dict().items()}
    torch.save({"state_dict": state}, path)
    init_cfg = dict(type="Pretrained", checkpoint=str(path), prefix=f"teacher.backbone{dot}")
    model = tiny(init_cfg=init_cfg)
    model.init_weights()
    assert_close(model.stem1[0].weight, state["teacher.backbone.stem1.0.weight"])


def detector():
    return torch.nn.ModuleDict(dict(backbone=tiny(), head=torch.nn.Linear(1, 1)))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"model_ema": state},
        lambda state: {"model": state, "args": argparse.Namespace()},
        lambda state: {"state_dict": {f"module.module.{k}": v for k, v in state.items()}},
        lambda state: {"state_dict": state, "model_ema": {"x": torch.ones(1)}},
    ],
)
def test_mmengine_loads_what_is_nested_elsewhere(path, wrap):
    trained, model = detector(), detector()
    torch.save(wrap(trained.state_dict()), path)
    load_checkpoint(model, str(path))
    assert_close(dict(model.state_dict()), dict(trained.state_dict()), rtol=0, atol=0)


@pytest.mark.parametrize("key", ["state_dict", "model_ema"])
def test_mmengine_is_refused_a_checkpoint_without_the_backbone(path, key):
    model = detector()
    for state in (tiny().state_dict(), {"head.weight": torch.ones(1, 1)}):
        torch.save({key: state}, path)
        with pytest.raises(UserError, match=r"^0 of .*init_cfg=dict\(type='Pretrained'"):
            load_checkpoint(model, str(path))
    model["head"].load_state_dict({"weight": torch.ones(1, 1)}, strict=False)


def test_loading_counts_what_the_model_renames():
    class Renames(torch.nn.Linear):
        def _load_from_state_dict(self, state_dict, prefix, *args):
            state_dict[f"{prefix}weight"] = state_dict.pop(f"{prefix}kernel")
            super()._load_from_state_dict(state_dict, prefix, *args)

    model = torch.nn.ModuleDict(dict(a=Renames(1, 1), b=torch.nn.Linear(1, 1)))
    state = {"a.kernel": torch.ones(1, 1), "a.bias": torch.ones(1), "b.weight": torch.ones(2, 2)}
    match = Match.by_loading(model, state)
    assert match == Match(("a.weight", "a.bias"), ("b.bias",), (), ("b.weight",))
    assert model["a"].weight == 1


def test_stages_that_out_indices_leaves_out_may_be_in_the_file(path):
    torch.save(tiny().state_dict(), path)
    load_backbone(tiny(out_indices=(0, 1)), path)


def test_ninety_percent_is_enough(path):
    state = tiny().state_dict()
    wanted = [key for key in state if not key.endswith(("act_lambda", "num_batches_tracked"))]
    few = len(wanted) // 10
    assert few > 2
    for count, works in ((few, True), (few + 1, False)):
        torch.save({key: state[key] for key in wanted[:-count]}, path)
        if works:
            load_backbone(tiny(), path)
        else:
            with pytest.raises(UserError, match="expected at least 90%"):
                load_backbone(tiny(), path)
