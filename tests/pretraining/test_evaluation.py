"""The ReaL labels of ImageNet are for its validation images."""

import pytest
import torch

from vanillanet_det import UserError
from vanillanet_det.pretraining import evaluation


def test_real_labels_are_for_their_images_alone():
    names = [f"ILSVRC2012_val_{number:08d}.JPEG" for number in range(1, 50_001)]
    logits = torch.zeros(1, 1000).expand(50_000, -1)
    assert 0 <= evaluation._real(logits, names) < 0.01
    with pytest.raises(UserError, match="--real: expected the 50,000 validation images"):
        evaluation._real_labels([*names[:-1], "other.JPEG"])
