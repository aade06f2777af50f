"""Files with other heads, channels and forms, loaded by timm's VanillaNet."""

import copy

import pytest
import timm
import torch
from tiny_vanillanet import images, tiny
from torch.testing import assert_close

import vanillanet_det.classifiers  # noqa: F401
from vanillanet_det import UserError


@pytest.mark.parametrize("wrapper", ["model_ema", "model", "state_dict", None])
def test_a_file_of_other_classes_and_channels(tmp_path, wrapper):
    source = tiny(num_classes=3)
    state = source.state_dict()
    torch.save({wrapper: state, "epoch": 1} if wrapper else state, tmp_path / "file.pth")
    model = tiny(num_classes=6, in_chans=1)
    before = copy.deepcopy(model.state_dict())
    model.load_pretrained(tmp_path / "file.pth")
    gray = images(channels=1)
    found = model.forward_features(gray)
    # timm adds up the kernels of the three channels.
    assert_close(found, source.forward_features(gray.repeat(1, 3, 1, 1)), rtol=1e-4, atol=1e-5)
    heads = {key: value for key, value in model.state_dict().items() if key.startswith("cls")}
    assert_close(heads, {key: before[key] for key in heads}, rtol=0, atol=0)
    with pytest.raises(UserError, match="act_num 1, but the network"):
        tiny(act_num=2).load_pretrained(tmp_path / "file.pth")


@pytest.mark.parametrize("classes", [0, 5])
def test_files_with_and_without_a_head(tmp_path, classes):
    source, model = tiny(), tiny(num_classes=classes)
    state = source.state_dict()
    head = {key for key in state if key.startswith("cls")}
    for names in (set(state), set(state) - head):
        torch.save({key: state[key] for key in names}, tmp_path / "file.pth")
        model.load_pretrained(tmp_path / "file.pth")
        assert_close(model.forward_features(images()), source.forward_features(images()))


def test_weights_of_another_form_are_refused(tmp_path):
    torch.save(tiny(num_classes=5).state_dict(), tmp_path / "file.pth")
    with pytest.raises(UserError, match="are of the training form, but deploy=True builds"):
        tiny(deploy=True).load_pretrained(tmp_path / "file.pth")


def test_pretrained_reads_a_file_through_timm(tmp_path):
    source = timm.create_model("vanillanet_5", num_classes=3)
    torch.save({"model_ema": source.state_dict()}, tmp_path / "file.pth")
    for options in ({}, dict(custom_load=True)):
        overlay = dict(file=str(tmp_path / "file.pth"), **options)
        model = timm.create_model(
            "vanillanet_5", pretrained=True, num_classes=2, pretrained_cfg_overlay=overlay
        )
        assert torch.equal(model.stages[2].act.weight, source.stages[2].act.weight)
        assert model.cls2[0].out_channels == 2
