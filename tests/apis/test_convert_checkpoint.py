"""Checkpoints are converted into one another without a digit lost, or not at all."""

import argparse
import re
from dataclasses import replace

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from torch.testing import assert_close

from vanillanet_det import UserError, VanillaNet, switch_to_deploy, switch_to_merged
from vanillanet_det.apis import convert_checkpoint
from vanillanet_det.checkpoints import Checkpoint, read_checkpoint
from vanillanet_det.checkpoints.loading import load_backbone
from vanillanet_det.models.backbones import ARCHS, VanillaNetwork
from vanillanet_det.models.backbones.archs import Arch
from vanillanet_det.models.backbones.mmdet_vanillanet import VanillaNetClassifier
from vanillanet_det.models.deploy import relative_error

IMAGE = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))


def tiny(network=VanillaNet, **kwargs):
    return network(arch=dict(dims=[4, 8, 8], strides=[2, 1]), **kwargs)


@pytest.fixture
def trained(randomize_norms):
    """A backbone with statistics of its own."""
    return randomize_norms(tiny(), IMAGE).eval()


@pytest.fixture
def convert(tmp_path):
    """Save something, convert it; returns what was written and the report."""

    def run(content, **kwargs):
        source, target = tmp_path / "source.pth", tmp_path / "target.pth"
        torch.save(content, source)
        report = convert_checkpoint(str(source), str(target), **kwargs)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["source.pth", "target.pth"]
        return read_checkpoint(target), report

    return run


def published(network):
    return {key: value for key, value in network.state_dict().items() if key != "act_lambda"}


def detector(network, **others):
    state = {f"backbone.{key}": value for key, value in network.state_dict().items()}
    return {**state, "neck.weight": torch.arange(3.0), **others}


def test_every_published_case_to_fused(convert, root):
    cases = torch.load(root / "tests/data/vanillanet_tiny.pt", weights_only=True)
    for case in cases.values():
        checkpoint = {**case["checkpoint"], "args": argparse.Namespace(model="vanillanet_x")}
        written, report = convert(checkpoint, deploy=True, force=True)
        assert set(written["state_dict"]) == set(case["deploy_checkpoint"])
        for key, value in case["deploy_checkpoint"].items():
            atol = 1e-5 * float(value.abs().max())
            assert_close(written["state_dict"][key], value, rtol=0, atol=atol)
        error = float(re.search(r"at most (\S+) of a feature's", report).group(1))
        assert 0 < error < 1e-5
        assert "classifier, training form" in report
        assert "classifier, deployed form" in report


def test_to_this_projects_form_and_back_nothing_changes(convert, trained):
    written, report = convert({"model": published(trained)})
    assert_close(written["state_dict"], dict(trained.state_dict()), rtol=0, atol=0)
    assert "0 missing, 0 left over" in report
    assert "at most 0.0e+00 of" in report
    back, _ = convert(written, layout="published", force=True)
    assert set(back) == {"meta", "model"}
    assert_close(back["model"], published(trained), rtol=0, atol=0)


def test_a_detector_keeps_its_other_parts_and_loses_its_training_state(convert, trained):
    history = HistoryBuffer()
    history.update(1.0)
    content = {
        "meta": {"epoch": 3, "iter": 7, "dataset_meta": {"classes": ["a", "b"]}},
        "state_dict": detector(trained),
        "optimizer": {"state": {0: torch.ones(1)}},
        "message_hub": {"log_scalars": {"train/loss": history}},
    }
    written, report = convert(content, deploy=True)
    assert set(written) == {"meta", "state_dict"}
    assert written["meta"] == {"dataset_meta": {"classes": ["a", "b"]}}
    expected = detector(switch_to_deploy(trained))
    assert_close(written["state_dict"], expected, rtol=0, atol=0)
    assert "backbone, deployed form" in report
    back, _ = convert(written, layout="published", force=True)
    assert_close(back["state_dict"], expected, rtol=0, atol=0)


def test_merged_to_fine_tune_and_then_fused(convert, trained, tmp_path):
    content = {
        "meta": {"cfg": "model = dict(type='RetinaNet', backbone=dict(type='VanillaNet'))"},
        "state_dict": detector(trained),
    }
    merged, report = convert(content, merge=True, verbose=True)
    assert "backbone, merged form" in report
    assert len(re.findall(r"^(?:stem|stages\.\d+) +\S+e-0[5-9] ", report, re.MULTILINE)) == 3
    expected = detector(switch_to_merged(trained))
    assert_close(merged["state_dict"], expected, rtol=0, atol=0)
    cfg = Config.fromstring(merged["meta"]["cfg"], ".py")
    assert cfg.model.backbone.merged is True
    load_backbone(tiny(merged=True), tmp_path / "target.pth")
    fused, _ = convert(merged, deploy=True, force=True)
    exact = detector(switch_to_deploy(trained))
    assert fused["state_dict"].keys() == exact.keys()
    assert relative_error([fused["state_dict"][key] for key in exact], exact.values()) < 1e-5
    with pytest.raises(UserError, match="--merge --deploy: expected only one"):
        convert(content, merge=True, deploy=True, force=True)
    with pytest.raises(UserError, match="--layout published doesn't support the merged form"):
        convert(content, merge=True, layout="published", force=True)
    with pytest.raises(UserError, match="--layout published doesn't support the merged form"):
        convert(merged, layout="published", force=True)


def test_what_is_written_loads_strictly_into_the_deployed_form(convert, trained, tmp_path):
    expected = trained(IMAGE)
    written, _ = convert({"model_ema": published(trained)}, deploy=True)
    fused = tiny(deploy=True).eval()
    fused.load_state_dict(written["state_dict"])
    assert_close(fused(IMAGE), expected, rtol=1e-4, atol=1e-5)
    other = tiny(deploy=True).eval()
    load_backbone(other, tmp_path / "target.pth")
    assert_close(other(IMAGE), fused(IMAGE), rtol=0, atol=0)


def test_verbose_shows_each_layer(convert, trained):
    _, report = convert({"model": published(trained)}, deploy=True, verbose=True)
    rows = re.findall(r"^(stem|stages\.\d+) +(\S+) +(\S+)$", report, flags=re.MULTILINE)
    assert [row[0] for row in rows] == ["stem", "stages.0", "stages.1"]
    assert all(0 < float(value) < 1e-5 for row in rows for value in row[1:])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_precision_is_kept(convert, trained, dtype):
    low = trained.to(dtype)
    written, _ = convert({"model": published(low)}, deploy=True)
    kernels = written["state_dict"]
    assert {value.dtype for value in kernels.values()} == {dtype}
    # Fused in float64 and rounded once, not from rounded factors.
    exact = switch_to_deploy(low.double()).state_dict()
    assert_close(kernels, {key: value.to(dtype) for key, value in exact.items()}, rtol=0, atol=0)


def test_lambda_below_1_is_converted_but_neither_fused_nor_published(convert, trained):
    trained.set_act_lambda(0.25)
    content = {"state_dict": trained.state_dict()}
    written, _ = convert(content)
    assert float(written["state_dict"]["act_lambda"]) == 0.25
    with pytest.raises(UserError, match=r"lambda is 0\.25; .* fuse after deep training"):
        convert(content, deploy=True, force=True)
    with pytest.raises(
        UserError, match=r"lambda is 0\.25, but the published layout implies lambda 1"
    ):
        convert(content, layout="published", force=True)


def test_published_archs_are_known_by_their_channels(convert, tmp_path):
    with torch.device("meta"):
        fused = VanillaNet("5", deploy=True, act_num=1)
    state = {key: torch.zeros(value.shape) for key, value in fused.state_dict().items()}
    _, report = convert({"model": state})
    assert "backbone, deployed form of arch '5', act_num 1" in report


@pytest.mark.parametrize("name", ["plain", "pooled"])
def test_the_arch_of_equal_tensors_is_kept(convert, trained, monkeypatch, name):
    plain = Arch("plain", dims=(4, 8, 8), strides=(2, 1))
    for arch in (plain, replace(plain, name="pooled", ada_pool=True)):
        monkeypatch.setitem(ARCHS, arch.name, arch)
    nameless, _ = convert({"model": published(trained)})
    assert Checkpoint("nameless", nameless).arch_name == ""
    args = argparse.Namespace(model=f"vanillanet_{name}")
    written, _ = convert({"model": published(trained), "args": args}, force=True)
    assert Checkpoint("written", written).arch_name == name
    again, _ = convert(written, layout="published", force=True)
    assert Checkpoint("again", again).arch_name == name


def test_many_widenings_are_no_strides(convert, randomize_norms):
    wide = VanillaNet(dict(dims=[2, 3, 4, 5, 6, 7, 8, 9], strides=[1] * 7))
    randomize_norms(wide, IMAGE).eval()
    convert({"model": published(wide)}, deploy=True)


def test_an_existing_file_is_replaced_with_force_only(convert, trained, tmp_path):
    content = {"model": published(trained)}
    convert(content)
    (tmp_path / "target.pth").write_text("precious")
    with pytest.raises(
        UserError, match=r"target\.pth: already exists; use --force to overwrite it"
    ):
        convert(content)
    assert (tmp_path / "target.pth").read_text() == "precious"
    convert(content, force=True)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("source.pth", "is the source itself"),
        ("", "expected a file path"),
        ("no/target.pth", "in an existing folder"),
        (300 * "x", "can't be written"),
    ],
)
def test_targets_that_make_no_sense(trained, tmp_path, target, said):
    source = tmp_path / "source.pth"
    torch.save({"model": published(trained)}, source)
    with pytest.raises(UserError, match=said):
        convert_checkpoint(str(source), str(tmp_path / target), force=True)
    assert read_checkpoint(source)["model"]


def other_kernel(self):
    """A fusion gone wrong."""
    switch(self)
    self.stages[0].conv.weight.data.mul_(1.1)


switch = VanillaNet.switch_to_deploy


@pytest.mark.parametrize("existing", [False, True])
def test_a_wrong_result_is_not_written(trained, tmp_path, monkeypatch, existing):
    source, target = tmp_path / "source.pth", tmp_path / "target.pth"
    torch.save({"model": published(trained)}, source)
    if existing:
        target.write_text("precious")
    monkeypatch.setattr(VanillaNetwork, "switch_to_deploy", other_kernel)
    with pytest.raises(UserError, match="not written, because it differs from its source by"):
        convert_checkpoint(str(source), str(target), deploy=True, force=True)
    assert target.read_text() == "precious" if existing else not target.exists()
    assert len(list(tmp_path.iterdir())) == 1 + existing


def test_a_full_disk_leaves_what_was_there(trained, tmp_path, file_size_limit):
    source, target = tmp_path / "source.pth", tmp_path / "target.pth"
    torch.save({"model": published(trained)}, source)
    target.write_text("precious")
    with file_size_limit(2000), pytest.raises(UserError, match=rf"{target}: can't be written"):
        convert_checkpoint(str(source), str(target), force=True)
    assert target.read_text() == "precious"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"state_dict": {"conv1.weight": torch.ones(1)}}, "contains no VanillaNet"),
        ([1], "contains no VanillaNet"),
        ({"a": 1}, "contains no VanillaNet"),
        ({k: v.to(torch.int8) for k, v in tiny().state_dict().items()}, r"contains torch\.int8"),
    ],
)
def test_what_is_no_vanillanet_is_refused(convert, content, said):
    with pytest.raises(UserError, match=rf"source\.pth: {said}"):
        convert(content)


def test_an_incomplete_checkpoint_is_refused(convert, trained):
    state = published(trained)
    del state["stages.1.act.bn.running_mean"]
    with pytest.raises(UserError, match=r"1 missing \(stages\.1\.act\.bn\.running_mean\).*every"):
        convert({"model": state})


def test_a_classifier_of_other_kinds_than_the_published(convert, randomize_norms):
    network = tiny(VanillaNetClassifier, num_classes=5, in_channels=1, act_num=0)
    network = randomize_norms(network, torch.randn(2, 1, 64, 96)).eval()
    written, _ = convert({"model": published(network)}, deploy=True)
    fused = tiny(VanillaNetClassifier, num_classes=5, in_channels=1, act_num=0, deploy=True).eval()
    fused.load_state_dict(written["state_dict"])
    image = torch.randn(3, 1, 50, 70)
    assert_close(fused(image), network(image), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_a_network_for_pixels_is_refused(tmp_path, trained, prefix):
    trained.switch_to_deploy()
    assert trained.fold_normalization(torch.full((3,), 120.0), torch.full((3,), 60.0), flip=True)
    state = {f"{prefix}{key}": value for key, value in trained.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "a.pth")
    with pytest.raises(
        UserError, match=r"a\.pth: its first convolution takes raw pixels .*; convert the"
    ):
        convert_checkpoint(str(tmp_path / "a.pth"), str(tmp_path / "b.pth"))
    assert not (tmp_path / "b.pth").exists()
