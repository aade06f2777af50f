"""Comparing forms of a network takes images as the network does."""

import pytest
from mmdet.registry import MODELS
from torch import nn

from vanillanet_det import VanillaNet
from vanillanet_det.models.deploy import image_channels

TINY = dict(dims=[4, 8], strides=[2])


class Detector(nn.Module):
    def __init__(self, backbone):
        super().__init__()
        self.head = nn.Conv2d(7, 7, 1)  # not what images come to
        self.backbone = backbone


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("form", ["training", "merged", "deployed"])
def test_of_a_vanillanet(form, channels):
    network = VanillaNet(TINY, in_channels=channels)
    if form == "merged":
        network.switch_to_merged()  # the stem is then the last of its layers
    if form == "deployed":
        network.switch_to_deploy()
    assert image_channels(network) == channels
    assert image_channels(Detector(network)) == channels
    assert image_channels(nn.DataParallel(Detector(network))) == channels


@pytest.mark.parametrize(
    ("cfg", "channels"),
    [
        (dict(type="ResNet", depth=18, in_channels=1), 1),
        (dict(type="ResNet", depth=18), 3),
        # Both have an attribute in_channels, which counts something else.
        (dict(type="MobileNetV2"), 3),
        (dict(type="EfficientNet", arch="b0"), 3),
        # Its first convolution takes the four pixels of a square at once.
        (dict(type="CSPDarknet"), 3),
        (dict(type="TIMMBackbone", model_name="resnet18", in_channels=2), 2),
    ],
)
def test_of_other_backbones(cfg, channels, mmdet_scope):
    if cfg["type"] == "TIMMBackbone":
        pytest.importorskip("timm")
    assert image_channels(Detector(MODELS.build(cfg))) == channels


def test_of_what_has_no_convolution():
    assert image_channels(nn.Linear(2, 2)) == 3
