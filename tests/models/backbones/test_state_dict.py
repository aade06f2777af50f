"""Equal to the published implementation: features, fused kernels, parameter counts."""

import argparse

import pytest
import torch
from torch.testing import assert_close

from vanillanet_det import UserError, VanillaNet, switch_to_deploy
from vanillanet_det.models.backbones import ARCHS
from vanillanet_det.models.backbones.mmdet_vanillanet import VanillaNetClassifier
from vanillanet_det.models.backbones.state_dict import describe
from vanillanet_det.models.deploy import relative_error


@pytest.fixture(scope="module", params=["plain", "ada_pool"])
def case(request, root):
    return torch.load(root / "tests/data/vanillanet_tiny.pt", weights_only=True)[request.param]


# How the published files, and those made of them, hold the tensors.
LAYOUTS = {
    "model_ema": lambda s: {"model_ema": s},
    "model_ema_and_training_state": lambda s: {
        "model_ema": s,
        "model": {key: torch.zeros_like(value) for key, value in s.items()},
        "optimizer": {"state": {}, "param_groups": []},
        "args": argparse.Namespace(model="vanillanet_5", lr=3.5e-3),
        "epoch": 299,
    },
    "model": lambda s: {"model": s, "args": argparse.Namespace(act_num=3)},
    "bare": lambda s: dict(s),
    "data_parallel": lambda s: {"model": {f"module.{key}": value for key, value in s.items()}},
    "mmdetection_2": lambda s: {
        "meta": {"mmdet_version": "2.28.2", "CLASSES": ("cat", "dog"), "epoch": 12},
        "state_dict": {
            **{f"backbone.{key}": value for key, value in s.items() if "cls" not in key},
            "neck.lateral_convs.0.conv.weight": torch.zeros(2, 2, 1, 1),
        },
        "optimizer": {"state": {}, "param_groups": []},
    },
    "data_parallel_mmdetection_2": lambda s: {
        "state_dict": {f"module.backbone.{key}": value for key, value in s.items()}
    },
}
FORMS = ["lambda 1", "other lambda", "fused", "fused in the file"]


def arch_of(case):
    arch = {key: case["arch"][key] for key in ("dims", "strides", "ada_pool")}
    stem = dict(stem_stride=3, stem_padding=1) if arch["ada_pool"] else {}
    return {"arch": arch, "act_num": case["arch"]["act_num"], **stem}


def load(case, path, network=VanillaNet, layout="model_ema", **kwargs):
    """The network with the published file's weights, through init_cfg."""
    tensors = case["deploy_checkpoint"] if kwargs.get("deploy") else case["checkpoint"]["model_ema"]
    torch.save(LAYOUTS[layout](tensors), path)
    init_cfg = dict(type="Pretrained", checkpoint=str(path))
    network = network(**arch_of(case), init_cfg=init_cfg, **kwargs)
    network.init_weights()
    return network.eval()


def load_backbone(case, path, **kwargs):
    return load(case, path, out_indices=tuple(range(len(case["arch"]["dims"]))), **kwargs)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "published.pth"


@pytest.fixture
def loaded(case, path):
    return load_backbone(case, path)


def assert_features(found, expected):
    assert len(found) == len(expected)
    for feature, reference in zip(found, expected):
        assert_close(feature, reference, rtol=0, atol=1e-4 * float(reference.abs().max()))


def test_statistics_are_random_in_the_reference(case):
    for key, value in case["checkpoint"]["model_ema"].items():
        if key.endswith("running_var"):
            assert value.std() > 0.01, f"{key}: fused and unfused would be equal whatever one does"


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("form", FORMS)
def test_features(case, path, layout, form):
    backbone = load_backbone(case, path, layout=layout, deploy=form == "fused in the file")
    expected = case["features"]
    if form == "other lambda":
        assert case["lambda"] < 1
        backbone.set_act_lambda(case["lambda"])
        expected = case["features_lambda"]
    elif form != "lambda 1":
        backbone, expected = switch_to_deploy(backbone), case["deploy_features"]
    assert_features(backbone(case["input"]), expected)


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if "mmdetection" not in name])
@pytest.mark.parametrize("form", ["lambda 1", "fused", "fused in the file"])
def test_logits(case, path, layout, form):
    num_classes = case["logits"].shape[1]
    classifier = load(
        case,
        path,
        VanillaNetClassifier,
        layout,
        num_classes=num_classes,
        deploy=form == "fused in the file",
    )
    expected = case["logits" if form == "lambda 1" else "deploy_logits"]
    classifier = switch_to_deploy(classifier) if form == "fused" else classifier
    assert_features([classifier(case["input"])], [expected])


@pytest.mark.parametrize("network", [VanillaNet, VanillaNetClassifier])
def test_fused_kernels_and_their_names(case, path, network):
    is_classifier = network is VanillaNetClassifier
    published = {
        key: value
        for key, value in case["deploy_checkpoint"].items()
        if is_classifier or not key.startswith("cls")
    }
    kwargs = dict(num_classes=case["logits"].shape[1]) if is_classifier else {}
    fused = switch_to_deploy(load(case, path, network, **kwargs)).state_dict()
    assert set(fused) == set(published)
    for key, value in published.items():
        assert_close(fused[key], value, rtol=0, atol=1e-5 * float(value.abs().max()))


def test_the_classifier_is_fused_at_lambda_1_only_and_whole_or_not_at_all(case, path):
    num_classes = case["logits"].shape[1]
    classifier = load(case, path, VanillaNetClassifier, num_classes=num_classes)
    for act_lambda in (0, 0.5):
        classifier.set_act_lambda(act_lambda)
        (feature,) = VanillaNet.forward(classifier, case["input"])
        x = classifier.cls1(feature)
        head = classifier.cls2(x.clamp(min=0) + act_lambda * x.clamp(max=0)).flatten(1)
        half = classifier(case["input"])
        assert_close(half, head)
        assert x.min() < 0
    names = set(classifier.state_dict())
    with pytest.raises(UserError, match=r"lambda is 0\.5"):
        classifier.switch_to_deploy()
    assert set(classifier.state_dict()) == names
    assert not torch.allclose(half, case["logits"], atol=1e-2), "lambda leaves the logits alone"


@pytest.mark.parametrize("deploy", [False, True])
@pytest.mark.parametrize("name", ARCHS)
def test_every_published_file_is_known_and_fits_its_own_arch_only(name, deploy):
    with torch.device("meta"):
        state = VanillaNetClassifier(name, deploy=deploy).state_dict()
        networks = {arch: VanillaNet(arch, deploy=deploy) for arch in ARCHS}
    found = describe(state)
    assert name in found.archs
    assert (found.form == "deployed", found.series.act_num, found.num_classes) == (deploy, 3, 1000)
    for arch, network in networks.items():
        if arch in found.archs:  # 13_x1_5 and its ada_pool have the same tensors
            network.check_state_dict(state)
        else:
            said = f"of arch '{name}'.*network is arch '{arch}'"
            with pytest.raises(UserError, match=said.replace("'13_x1_5_ada_pool'", "'13_x1_5.*'")):
                network.check_state_dict(state)


@pytest.mark.parametrize("num_classes", [0, "10", True])
def test_num_classes_that_is_no_count_is_refused(num_classes):
    with pytest.raises(UserError, match=r"num_classes .* positive integer"):
        VanillaNetClassifier("5", num_classes=num_classes)


@pytest.mark.slow
@pytest.mark.usefixtures("reused_memory")
@pytest.mark.parametrize("name", ["13", "13_x1_5_ada_pool"])
@torch.no_grad()
def test_fusion_error_of_whole_networks(name, randomize_norms, all_threads):
    images = [torch.randn(1, 3, 112, 112), torch.randn(1, 3, 101, 157)]
    # The sums over 4,096 channels are those of '13'; of the other one it is the pooling.
    arch = (
        dict(vars(ARCHS[name]), dims=[d // 4 for d in ARCHS[name].dims]) if "ada" in name else name
    )
    backbone = randomize_norms(VanillaNet(arch), images[0]).eval()
    expected = [backbone(image) for image in images]
    for feature in expected[0]:
        assert feature.std(dim=(0, 2, 3)).mean() > 0.1, "features that are all bias prove nothing"
    switch_to_deploy(backbone, inplace=True)
    for image, features in zip(images, expected):
        assert relative_error(backbone(image), features) <= 1e-5


@pytest.mark.gpu
def test_features_on_a_gpu(case, loaded):
    found = switch_to_deploy(loaded.cuda())(case["input"].cuda())
    assert_features([feature.cpu() for feature in found], case["deploy_features"])
