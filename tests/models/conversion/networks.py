"""Networks that tests give a training of VanillaNet's."""

import torch
from torch import nn
from torchvision.models import alexnet
from torchvision.models.resnet import Bottleneck, ResNet

from vanillanet_det import VanillaNet

IMAGE = torch.zeros(1, 3, 8, 8)


def small_resnet():
    return ResNet(Bottleneck, [1, 1, 1, 1], num_classes=5, width_per_group=16)


def small_alexnet():
    model = alexnet(num_classes=5)
    model.classifier[1], model.classifier[4] = nn.Linear(9216, 24), nn.Linear(24, 20)
    model.classifier[6] = nn.Linear(20, 5)
    return model


class Net(nn.Module):
    """Layers and a forward that a test writes."""

    def __init__(self, function, **layers):
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x):
        return self.function(self, x)


def count(model, kind):
    return sum(type(module) is kind for module in model.modules())


def shapes(model):
    """Shapes of the maps; depthwise kernels of series activations are none."""
    return [m.weight.shape for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]


def conv_pair(**kwargs):
    return nn.Sequential(nn.Conv2d(3, 6, 3, **kwargs), nn.BatchNorm2d(6), nn.ReLU()).extend(
        [nn.Dropout(0.5), nn.Conv2d(6, 4, 1, bias=False), nn.BatchNorm2d(4)]
    )


def small_vanillanet():
    return VanillaNet(dict(dims=[4, 4], strides=[2]))
