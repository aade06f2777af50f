"""timm's networks as backbones."""

import pytest
import timm
import torch
from mmdet.registry import MODELS
from torch.testing import assert_close

from vanillanet_det import UserError
from vanillanet_det.models.backbones.timm_backbone import TIMMBackbone

NAME = "convnextv2_atto"


@pytest.fixture(scope="module")
def published():
    """timm's classifier, whose file names differ from those of its features."""
    torch.manual_seed(1)
    model = timm.create_model(NAME).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return model


@pytest.fixture
def file(published, tmp_path):
    path = tmp_path / "pytorch_model.bin"
    torch.save(published.state_dict(), path)
    return path


def load(path, name=NAME, **kwargs):
    backbone = TIMMBackbone(name, init_cfg=dict(type="Pretrained", checkpoint=str(path)), **kwargs)
    backbone.init_weights()
    return backbone


def test_it_tells_channels_and_strides_of_its_features(mmdet_scope):
    backbone = MODELS.build(dict(type="TIMMBackbone", model_name=NAME, out_indices=(1, 3)))
    features = backbone.eval()(torch.rand(1, 3, 64, 96))
    assert isinstance(features, tuple)
    assert tuple(feature.shape[1] for feature in features) == backbone.out_channels
    assert backbone.out_strides == (8, 32)
    assert [tuple(feature.shape[2:]) for feature in features] == [(8, 12), (2, 3)]


def test_timms_file_gives_timms_features(published, file, log):
    image = torch.rand(1, 3, 64, 96)
    backbone = load(file).eval()
    # The last norm is the classifier's.
    expected = published.forward_intermediates(image, intermediates_only=True, norm=False)
    assert_close(backbone(image), tuple(expected))
    total = len(backbone.state_dict())
    assert f"{total} of {total} tensors match, 0 missing" in log.text


def test_a_detectors_file_loads_too(file, tmp_path):
    backbone = load(file)
    state = {f"backbone.{key}": value for key, value in backbone.state_dict().items()}
    torch.save({"state_dict": {**state, "neck.weight": torch.ones(1)}}, tmp_path / "detector.pth")
    again = load(tmp_path / "detector.pth")
    assert_close(again.state_dict(), backbone.state_dict())


def test_another_file_is_refused(published, file, tmp_path):
    with pytest.raises(
        UserError, match=r"pytorch_model\.bin: .* of a different shape .* of timm's"
    ):
        load(file, "convnextv2_nano")
    half = tmp_path / "half.bin"
    torch.save({k: v for k, v in published.state_dict().items() if "stages.2" not in k}, half)
    with pytest.raises(UserError, match=r"half\.bin: .* missing .* expected at least 90%"):
        load(half)


def test_a_wrong_name_is_answered_with_a_near_one():
    with pytest.raises(UserError, match=r"'convnextv2_nanno': timm .* 'convnextv2_nano'\?"):
        TIMMBackbone("convnextv2_nanno")


@pytest.mark.parametrize("name", ["hf-hub:timm/convnextv2_atto.fcmae", "local-dir:/tmp"])
def test_nothing_is_fetched(name):
    with pytest.raises(UserError, match="has no such model"):
        TIMMBackbone(name)


@pytest.mark.parametrize(
    ("name", "kwargs", "said"),
    [
        (NAME, dict(out_indices=(0, 7)), r"can't extract features of .* with out_indices \(0, 7\)"),
        (NAME, dict(frozen_stages=4), r"frozen_stages 4; expected -1 .* features 0\.\.3"),
        ("swin_tiny_patch4_window7_224", {}, "expected a convolutional network"),
        ("vit_tiny_patch16_224", {}, "expected a convolutional network"),
    ],
)
def test_wrong_arguments_are_refused(name, kwargs, said):
    with pytest.raises(UserError, match=said):
        TIMMBackbone(name, **kwargs)


def test_frozen_stages_and_norms_stay_as_they_are():
    backbone = TIMMBackbone("resnet18", out_indices=(1, 2), frozen_stages=1, norm_eval=True).train()
    assert not backbone.model.bn1.training
    assert not backbone.model.layer2[0].bn1.training
    assert backbone.model.layer2.training
    frozen = {n.split(".")[1] for n, p in backbone.named_parameters() if not p.requires_grad}
    assert frozen == {"conv1", "bn1", "layer1"}


def test_stochastic_depth_rises_to_the_rate():
    rates = [
        module.drop_prob
        for module in TIMMBackbone(NAME, drop_path_rate=0.1).modules()
        if hasattr(module, "drop_prob")
    ]
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(0.1)


def test_checkpointing_keeps_less_and_gives_the_same_gradients(file):
    image = torch.rand(1, 3, 64, 64)
    gradients, kept = [], []
    for with_cp in (False, True):
        backbone = load(file, with_cp=with_cp).train()
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor, sizes=sizes: sizes.append(tensor.numel()) or tensor,
            lambda tensor: tensor,
        ):
            loss = sum(feature.square().mean() for feature in backbone(image))
        kept.append(sum(sizes))
        loss.backward()
        gradients.append({name: p.grad for name, p in backbone.named_parameters()})
    assert kept[1] < kept[0] / 2
    assert_close(*gradients)
