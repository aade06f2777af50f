"""GResNet as a network of timm."""

import pytest
import timm
import torch
from timm.utils import reparameterize_model
from torch.nn.modules.batchnorm import _BatchNorm
from torch.testing import assert_close

import vanillanet_det.classifiers  # noqa: F401  # registers it

WIDTH = 8


@pytest.fixture
def model(randomize_norms):
    model = timm.create_model("gresnet50", num_classes=10, width=WIDTH)
    return randomize_norms(model).eval()


def test_fused_by_timm(model):
    x = torch.rand(2, 3, 75, 107)
    fused = reparameterize_model(model)
    assert not any(isinstance(module, _BatchNorm) for module in fused.modules())
    with torch.no_grad():
        assert_close(fused(x), model(x), rtol=1e-4, atol=1e-5)


def test_features_only():
    model = timm.create_model("gresnet50", features_only=True, out_indices=(1, 3), width=WIDTH)
    shapes = [tuple(feature.shape[1:]) for feature in model(torch.rand(1, 3, 64, 96))]
    assert shapes == [(64, 8, 12), (256, 2, 3)]
    assert model.feature_info.channels() == [64, 256]
    assert model.feature_info.reduction() == [8, 32]


@pytest.mark.parametrize("name", ["gresnet50", "vanillanet_5"])
def test_features_after_pruning_are_those_that_are_left(name):
    model = timm.create_model(name, num_classes=10).eval()
    model.prune_intermediate_layers([1])
    x = torch.rand(1, 3, 64, 64)
    assert len(model.feature_info) == 2
    assert [f.shape[-1] for f in model.forward_intermediates(x, intermediates_only=True)] == [16, 8]
    with pytest.raises(AssertionError, match="3"):
        model.forward_intermediates(x, [3])


def test_other_classes_and_pooling(model):
    model.reset_classifier(7, "max")
    assert model(torch.rand(2, 3, 64, 64)).shape == (2, 7)
    model.reset_classifier(0)
    assert model(torch.rand(2, 3, 64, 64)).shape == (2, 32 * WIDTH)
