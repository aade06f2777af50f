"""A small VanillaNet with timm's methods and random BatchNorm statistics."""

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from vanillanet_det.classifiers import VanillaNetTimm

TINY = dict(dims=[4, 4, 8, 8, 16], strides=[1, 2, 1, 2])  # features of timm: layers 1, 3 and 4


def tiny(**kwargs):
    torch.manual_seed(0)
    model = VanillaNetTimm(TINY, **{"num_classes": 5, "act_num": 1, **kwargs})
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    return model.eval()


def images(size=(64, 96), channels=3):
    return torch.randn(2, channels, *size, generator=torch.Generator().manual_seed(1))
