"""Equal to the published implementation: features, fused kernels, parameter counts."""

import pytest
import torch
from torch.testing import assert_close

from vanillanet_det import VanillaNet, switch_to_deploy
from vanillanet_det.backbones import ARCHS

# Fused classifiers with 1,000 classes, in millions: the table of arXiv 2305.12972.
PARAMETERS = {
    "5": 15.5, "6": 32.5, "7": 32.8, "8": 37.1, "9": 41.4, "10": 45.7, "11": 50.0, "12": 54.3,
    "13": 58.6, "13_x1_5": 127.8, "13_x1_5_ada_pool": 127.8,
}  # fmt: skip


@pytest.fixture(scope="module", params=["plain", "ada_pool"])
def case(request, root):
    return torch.load(root / "tests/data/vanillanet_tiny.pt", weights_only=True)[request.param]


def build(case, **kwargs):
    arch = {key: case["arch"][key] for key in ("dims", "strides", "ada_pool")}
    stem = dict(stem_stride=3, stem_padding=1) if arch["ada_pool"] else {}
    indices = tuple(range(len(arch["dims"])))
    backbone = VanillaNet(
        arch, act_num=case["arch"]["act_num"], out_indices=indices, **stem, **kwargs
    )
    return backbone.eval()


@pytest.fixture
def loaded(case, tmp_path):
    """The network with the published file's weights, through init_cfg."""
    path = tmp_path / "published.pth"
    torch.save(case["checkpoint"], path)
    backbone = build(case, init_cfg=dict(type="Pretrained", checkpoint=str(path)))
    backbone.init_weights()
    return backbone


def assert_features(found, expected):
    assert len(found) == len(expected)
    for feature, reference in zip(found, expected):
        assert_close(feature, reference, rtol=0, atol=1e-4 * float(reference.abs().max()))


def test_features_of_the_training_form(case, loaded):
    assert_features(loaded(case["input"]), case["features"])


def test_features_below_lambda_1(case, loaded):
    loaded.set_act_lambda(case["lambda"])
    assert_features(loaded(case["input"]), case["features_lambda"])


def test_features_of_the_fused_form(case, loaded):
    assert_features(switch_to_deploy(loaded)(case["input"]), case["deploy_features"])


def test_fused_kernels_and_their_names(case, loaded):
    published = {k: v for k, v in case["deploy_checkpoint"].items() if not k.startswith("cls")}
    fused = switch_to_deploy(loaded).state_dict()
    assert set(fused) == set(published)
    for key, value in published.items():
        assert_close(fused[key], value, rtol=0, atol=1e-5 * float(value.abs().max()))


def test_published_fused_file_loads_into_the_deployed_form(case, tmp_path):
    path = tmp_path / "fused.pth"
    torch.save(case["deploy_checkpoint"], path)
    backbone = build(case, deploy=True, init_cfg=dict(type="Pretrained", checkpoint=str(path)))
    backbone.init_weights()
    assert_features(backbone(case["input"]), case["deploy_features"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_features_on_a_gpu(case, loaded):
    found = switch_to_deploy(loaded.cuda())(case["input"].cuda())
    assert_features([feature.cpu() for feature in found], case["deploy_features"])


@pytest.mark.parametrize("name", ARCHS)
def test_parameter_count_of_the_fused_classifier(name):
    with torch.device("meta"):
        backbone = VanillaNet(name, deploy=True)
    head = ARCHS[name].dims[-1] * 1000 + 1000
    count = sum(p.numel() for p in backbone.parameters()) + head
    assert round(count / 1e6, 1) == PARAMETERS[name]
    assert set(PARAMETERS) == set(ARCHS)
