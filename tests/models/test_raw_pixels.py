"""Pixels through the folded stem give what normalised pixels give."""

import copy

import pytest
import torch
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmengine.config import Config
from torch import nn
from torch.testing import assert_close

from vanillanet_det import UserError, VanillaNet, switch_to_deploy
from vanillanet_det.models.raw_pixels import RawPixelPreprocessor, fold_normalization

NORMALIZATION = dict(
    mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], pad_size_divisor=32
)


class Detector(nn.Module):
    def __init__(self, backbone, preprocessor):
        super().__init__()
        self.backbone, self.data_preprocessor = backbone, preprocessor

    def forward(self, images):
        data = self.data_preprocessor(dict(inputs=images, data_samples=None))
        return self.backbone(data["inputs"])


@pytest.fixture
def detector(randomize_norms):
    backbone = VanillaNet(dict(dims=[8, 16, 24], strides=[2, 1]))
    randomize_norms(backbone, torch.randn(2, 3, 64, 64))
    preprocessor = DetDataPreprocessor(**NORMALIZATION, bgr_to_rgb=True)
    return switch_to_deploy(Detector(backbone, preprocessor).eval())


def images(*sizes):
    return [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in sizes]


@pytest.mark.parametrize("bgr_to_rgb", [False, True])
@pytest.mark.parametrize("pad_value", [0, 1.5])
def test_features_are_the_same_with_padding(detector, bgr_to_rgb, pad_value):
    detector.data_preprocessor = DetDataPreprocessor(
        **NORMALIZATION, bgr_to_rgb=bgr_to_rgb, pad_value=pad_value
    )
    folded = copy.deepcopy(detector)
    assert fold_normalization(folded)
    assert type(folded.data_preprocessor) is RawPixelPreprocessor
    batch = images((64, 96), (50, 71))
    with torch.no_grad():
        for found, expected in zip(folded(batch), detector(batch)):
            assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_the_network_itself_gets_pixels(detector):
    fold_normalization(detector)
    (image,) = images((32, 32))
    data = detector.data_preprocessor(dict(inputs=[image], data_samples=None))
    assert torch.equal(data["inputs"][0], image.float())


@pytest.mark.parametrize("folded", [True, False])
def test_weights_for_pixels_are_no_weights_for_normalised_images(detector, folded):
    other = copy.deepcopy(detector)
    fold_normalization(other if folded else detector)
    with pytest.raises(UserError, match=r"expect (pixels from 0|normalised).*the network expects"):
        detector.backbone.load_state_dict(other.backbone.state_dict(), strict=False)


def test_what_cannot_be_folded_stays_as_it_is(detector):
    before = copy.deepcopy(detector.state_dict())
    for preprocessor in (
        DetDataPreprocessor(pad_size_divisor=32),
        RawPixelPreprocessor(detector.data_preprocessor),
        nn.Identity(),
    ):
        detector.data_preprocessor = preprocessor
        assert not fold_normalization(detector)
    detector.data_preprocessor = DetDataPreprocessor(mean=[1.0], std=[1.0])
    assert not fold_normalization(detector)
    assert all(torch.equal(before[k], v) for k, v in detector.state_dict().items() if k in before)


@pytest.mark.parametrize("change", [dict(stem_padding=1), dict(deploy=False)])
def test_zeros_around_the_image_and_other_forms_are_left_alone(change):
    arch = dict(dims=[8, 16], strides=[2])
    backbone = VanillaNet(arch, **{"deploy": True, **change}).eval()
    assert not fold_normalization(Detector(backbone, DetDataPreprocessor(**NORMALIZATION)))
    assert not hasattr(backbone, "raw_pixels")


def test_in_16_bits_the_stem_stays_as_it_is(detector):
    detector.backbone.bfloat16()
    assert not fold_normalization(detector)
    assert type(detector.data_preprocessor) is DetDataPreprocessor


def test_a_second_time_nothing_happens(detector):
    assert fold_normalization(detector)
    weight = detector.backbone.stem[0].weight.clone()
    detector.data_preprocessor = DetDataPreprocessor(**NORMALIZATION)
    assert not fold_normalization(detector)
    assert torch.equal(detector.backbone.stem[0].weight, weight)


def test_a_whole_detector_finds_the_same(small_config, mmdet_scope):
    from vanillanet_det.benchmark.networks import load_network
    from vanillanet_det.datasets.sample_images import (
        evaluation_pipeline,
        find_images,
        make_batches,
    )

    cfg = Config.fromfile(small_config)
    batch = make_batches(find_images(), evaluation_pipeline(cfg, (75, 101)), 2)[0]
    fused = switch_to_deploy(load_network("small", cfg, None, batch).model)
    folded = copy.deepcopy(fused)
    assert fold_normalization(folded)
    with torch.no_grad():
        expected, found = (
            [sample.pred_instances for sample in model.test_step(copy.deepcopy(batch))]
            for model in (fused, folded)
        )
    for a, b in zip(found, expected):
        assert len(a) == len(b) > 0
        assert_close(a.bboxes, b.bboxes, rtol=1e-3, atol=1e-2)
        assert_close(a.scores, b.scores, rtol=1e-3, atol=1e-4)
