"""Split normalisation in any network: the same in evaluation, trained, and folded exactly."""

import pytest
import torch
from networks import IMAGE, Net, count, small_alexnet, small_resnet
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.models import mobilenet_v3_small

from vanillanet_det import UserError, add_split_normalization, switch_to_deploy
from vanillanet_det.models.deploy import relative_error
from vanillanet_det.models.layers.split_norm import SplitNormConv2d


def randomised(model):
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.uniform_(module.bias, -0.5, 0.5)
    return model.double().eval()


@pytest.mark.parametrize("build", [small_resnet, mobilenet_v3_small])
def test_other_networks(build):
    model, x = randomised(build()), torch.rand(2, 3, 61, 67, dtype=torch.float64)
    split = add_split_normalization(model, x)
    assert count(split, SplitNormConv2d) == count(model, nn.BatchNorm2d)
    with torch.no_grad():
        assert relative_error([split(x)], [model(x)]) < 1e-12
        randomised(split.train())
        expected = split(x)
        deployed = switch_to_deploy(split)
        assert relative_error([deployed(x)], [expected]) < 1e-12
    assert not any(isinstance(module, _BatchNorm) for module in deployed.modules())


def test_a_step_of_training_changes_statistics_and_parameters():
    model = add_split_normalization(small_resnet().train(), IMAGE)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(torch.rand(4, 3, 32, 32)).square().sum().backward()
    optimizer.step()
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert {f"conv1.{name}" for name in ("conv.weight", "scale", "shift")} <= changed
    assert {"conv1.norm.running_mean", "conv1.norm.running_var"} <= changed


def test_bias_kind_of_batchnorm_and_frozen_statistics_are_kept():
    norm = nn.SyncBatchNorm(6, eps=1e-3, momentum=0.03)
    model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), norm.eval(), nn.Conv2d(6, 2, 1))
    split = add_split_normalization(model, IMAGE)
    new = split.get_submodule("0").norm
    assert type(new) is nn.SyncBatchNorm
    assert (new.eps, new.momentum, new.training) == (1e-3, 0.03, False)
    assert type(split.get_submodule("2")) is nn.Conv2d
    x = torch.rand(1, 3, 9, 9)
    assert relative_error([split.eval()(x)], [model.eval()(x)]) < 1e-6


def test_frozen_layers_remain_frozen():
    model = small_resnet()
    model.layer1.requires_grad_(False)
    split = add_split_normalization(model, IMAGE)
    frozen = {name for name, p in split.named_parameters() if not p.requires_grad}
    assert frozen == {name for name, _ in split.named_parameters() if name.startswith("layer1.")}


@pytest.mark.parametrize(
    "model",
    [
        small_alexnet(),
        nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False)),
        Net(
            lambda self, x: self.norm(self.conv(self.conv(x))),
            conv=nn.Conv2d(3, 3, 1),
            norm=nn.BatchNorm2d(3),
        ),
    ],
    ids=["no BatchNorm", "no statistics", "a convolution called twice"],
)
def test_networks_without_anything_to_replace(model):
    image = torch.zeros(1, 3, 64, 64)
    with pytest.raises(UserError, match=r"nothing to change in .*; expected a convolution with"):
        add_split_normalization(model, image)
