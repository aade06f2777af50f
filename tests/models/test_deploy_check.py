"""Fused features are compared on images that a detector can process, or it is said why not."""

import pytest
import torch
from mmdet.models.data_preprocessors import DetDataPreprocessor
from torch import nn

from vanillanet_det import VanillaNet
from vanillanet_det.models.deploy import fuse, switch_to_deploy
from vanillanet_det.models.preprocessing import preprocess


class NeedsDivisor(nn.Module):
    """A detector whose images must have sides that divide by 32."""

    def __init__(self, divisor=1):
        super().__init__()
        self.backbone = VanillaNet(dict(dims=[4, 8], strides=[2]))
        self.data_preprocessor = DetDataPreprocessor(
            mean=[0, 0, 0], std=[255] * 3, pad_size_divisor=divisor
        )
        self.sizes = []

    def extract_feat(self, inputs):
        self.sizes.append(tuple(inputs.shape[2:]))
        if any(side % 32 for side in inputs.shape[2:]):
            raise RuntimeError("Sizes of tensors must match\nexcept in dimension 1")
        return dict(all=self.backbone(inputs))


def to_64(image):
    assert image.shape == (131, 157, 3)
    assert image.dtype == "uint8"
    assert image.std() > 20
    return torch.from_numpy(image[:64, :64].copy()).permute(2, 0, 1)


@pytest.mark.parametrize(
    ("divisor", "prepare", "sizes"),
    [
        (32, None, [(160, 160)]),
        (64, to_64, [(192, 192)]),
        (1, to_64, [(131, 157), (64, 64)]),
    ],
)
def test_the_first_image_that_the_detector_can_process(divisor, prepare, sizes):
    detector = NeedsDivisor(divisor)
    fused, error, unchecked = fuse(detector, "it", prepare=prepare)
    assert detector.sizes == sizes
    assert fused.sizes == sizes[-1:]
    assert 0 < error < 1e-5
    assert not unchecked
    assert detector.training
    assert not detector.backbone.deploy


@pytest.mark.parametrize("prepare", [None, lambda image: to_64(image)[:, :40]])
def test_without_one_the_reason_is_returned(prepare):
    fused, error, unchecked = fuse(NeedsDivisor(), "it", prepare=prepare)
    assert fused.backbone.deploy
    assert error is None
    assert unchecked.endswith("original ones: RuntimeError: Sizes of tensors must match")


def test_an_error_of_the_fused_model_alone_is_not_hidden(monkeypatch):
    detector = NeedsDivisor(32)
    extract = NeedsDivisor.extract_feat
    monkeypatch.setattr(
        NeedsDivisor,
        "extract_feat",
        lambda self, inputs: 1 / 0 if self.backbone.deploy else extract(self, inputs),
    )
    with pytest.raises(ZeroDivisionError):
        fuse(detector, "it")


def test_tensors_of_the_last_training_step_are_copied_as_values():
    detector = NeedsDivisor(32)
    loss = detector.backbone(torch.ones(2, 3, 64, 64))[0].sum()
    detector.kept = dict(loss=[loss])
    assert not loss.is_leaf
    fused = switch_to_deploy(detector)
    assert fused.kept["loss"][0] == loss
    assert fused.kept["loss"][0] is not loss
    assert not fused.kept["loss"][0].requires_grad


def test_a_network_without_a_preprocessor_takes_the_pixels():
    pixels = torch.arange(12, dtype=torch.uint8).view(3, 2, 2)
    data = preprocess(nn.Identity(), pixels)
    assert torch.equal(data["inputs"], pixels[None].float())
    assert data["data_samples"] is None
